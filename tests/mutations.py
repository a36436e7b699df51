"""The small changes of a module that tests/mutants.py tries.

A comparison, an operator, a number, a word or a condition becomes another, or a call whose value nobody uses
is left out.  What stands in annotations, decorators, docstrings, `raise` and f-strings (words for people) is
left as it is.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

UNCHANGED = (ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Assert)
UNCHANGED_FIELDS = (
    "annotation",
    "returns",
    "decorator_list",
    "type_params",
    "targets",
    "target",
    "optional_vars",
)

Swap = dict[type[ast.AST], type[ast.AST]]
COMPARISONS: Swap = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
OPERATIONS: Swap = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


@dataclass(frozen=True)
class Mutant:
    """One change of a module: its line, what it does, and the changed module."""

    line: int
    change: str
    module: ast.Module


def mutants(tree: ast.Module) -> Iterator[Mutant]:
    """Every change of the module."""
    for path in _places(tree, ()):
        node = _at(tree, path)
        for description, change in _changes(node):
            changed = copy.deepcopy(tree)
            replacement = change(_at(changed, path))
            mutated = ast.fix_missing_locations(_put(changed, path, replacement))
            before, after = ast.unparse(node), ast.unparse(replacement)
            line = getattr(node, "lineno", 0)
            yield Mutant(line, f"{description}: {before[:70]} -> {after[:70]}", mutated)


Path_ = tuple[tuple[str, int | None], ...]


def _places(node: ast.AST, path: Path_) -> Iterator[Path_]:
    """The paths to all nodes that may be changed."""
    yield path
    for name, value in ast.iter_fields(node):
        if name in UNCHANGED_FIELDS:
            continue
        if isinstance(value, ast.AST):
            if not isinstance(value, UNCHANGED):
                yield from _places(value, (*path, (name, None)))
            continue
        if not isinstance(value, list):
            continue
        for number, child in enumerate(value):
            if isinstance(child, ast.Raise):
                yield (*path, (name, number))
            elif isinstance(child, ast.AST) and not isinstance(child, UNCHANGED) and not _is_words(child):
                yield from _places(child, (*path, (name, number)))


def _is_words(node: ast.AST) -> bool:
    """Whether it is a docstring, `__all__`, or an alias of a type."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        name = node.targets[0].id
        return name == "__all__" or (
            isinstance(node.value, ast.Subscript) and name[:1].isupper() and not name.isupper()
        )
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _at(tree: ast.AST, path: Path_) -> ast.AST:
    for name, number in path:
        value = getattr(tree, name)
        tree = value if number is None else value[number]
    return tree


def _put(tree: ast.AST, path: Path_, replacement: ast.AST) -> ast.AST:
    if not path:
        return replacement
    *above, (name, number) = path
    parent = _at(tree, tuple(above))
    if number is None:
        setattr(parent, name, replacement)
    else:
        getattr(parent, name)[number] = replacement
    return tree


Change = tuple[str, Callable[[ast.AST], ast.AST]]


def _changes(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Compare):
        for number, operation in enumerate(node.ops):
            if type(operation) in COMPARISONS:
                yield "comparison", _swapped("ops", COMPARISONS, number)
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in OPERATIONS:
        yield "operation", _swapped("op", OPERATIONS)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        yield "sign", lambda node: node.operand  # type: ignore[attr-defined]
    elif isinstance(node, ast.Constant) and not (isinstance(node.value, str) and " " in node.value):
        value = _other(node.value)
        if value is not None:
            yield "value", lambda _: ast.Constant(value)
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        yield "condition", _negated
    elif isinstance(node, ast.Break | ast.Continue):
        other = ast.Continue() if isinstance(node, ast.Break) else ast.Break()
        yield "loop", lambda _: other
    if isinstance(node, ast.Raise | ast.AugAssign) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        yield "left out", lambda node: ast.copy_location(ast.Pass(), node)


def _swapped(field: str, table: Swap, number: int | None = None) -> Callable[[ast.AST], ast.AST]:
    def change(node: ast.AST) -> ast.AST:
        value = getattr(node, field)
        if number is None:
            setattr(node, field, table[type(value)]())
        else:
            value[number] = table[type(value[number])]()
        return node

    return change


def _negated(node: ast.AST) -> ast.AST:
    node.test = ast.UnaryOp(ast.Not(), node.test)  # type: ignore[attr-defined]
    return node


def _other(value: object) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return f"x{value}" if isinstance(value, str) else None
