"""How many small faults the tests find: changes a module in many ways, one at a time, and runs its tests.

    python -m tests.mutants --tests tests/test_samplers.py -- ldm_core/diffusion/schedule.py

First the tests run once under coverage (`pip install coverage`), which tells the tests of each line and how
long they take.  Then each mutant gets a fork of this process, in which other packages are loaded already, and
is killed when a test fails there; the quickest tests run first.  What stands in annotations, decorators,
docstrings, `raise` and f-strings (words for people) is left as it is.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import coverage
import pytest

ROOT = Path(__file__).parent.parent
OURS = ("ldm_core", "app", "tests")
BUDGET = 20.0  # seconds of tests for one mutant, at most

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
    """One change of a module: its line, what it does, and the changed source."""

    line: int
    change: str
    source: str


@dataclass(frozen=True)
class Coverage:
    """The tests of each line of each file, and the seconds of each test."""

    lines: dict[str, dict[int, list[str]]]
    seconds: dict[str, float]

    def tests(self, file: str, line: int) -> list[str]:
        """Those that run the line, or any of the file where it only runs at import; the quickest first."""
        lines = self.lines.get(file, {})
        found = lines.get(line) or sorted({test for tests in lines.values() for test in tests})
        chosen, spent = [], 0.0
        for test in sorted(found, key=lambda test: self.seconds.get(test, 0.0)):
            spent += self.seconds.get(test, 0.0)
            if spent > BUDGET and chosen:
                break
            chosen.append(test)
        return chosen


def mutants(source: str) -> Iterator[Mutant]:
    """Every change of the module."""
    tree = ast.parse(source)
    for path in _places(tree, ()):
        node = _at(tree, path)
        for description, change in _changes(node):
            changed = copy.deepcopy(tree)
            replacement = change(_at(changed, path))
            mutated = ast.fix_missing_locations(_put(changed, path, replacement))
            before, after = ast.unparse(node), ast.unparse(replacement)
            line = getattr(node, "lineno", 0)
            yield Mutant(line, f"{description}: {before[:70]} -> {after[:70]}", ast.unparse(mutated))


Path_ = tuple[tuple[str, int | None], ...]


def _places(node: ast.AST, path: Path_) -> Iterator[Path_]:
    """The paths to all nodes that may be changed."""
    yield path
    for name, value in ast.iter_fields(node):
        if name in (
            "annotation",
            "returns",
            "decorator_list",
            "type_params",
            "targets",
            "target",
            "optional_vars",
        ):
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


class _Recorder:
    """A pytest plugin: the lines of each test, its set-up included, and its seconds."""

    def __init__(self) -> None:
        self.coverage = coverage.Coverage(data_file=None, source=[str(ROOT / "ldm_core"), str(ROOT / "app")])
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.coverage.switch_context(item.nodeid)
        start = time.monotonic()
        yield
        self.seconds[item.nodeid] = time.monotonic() - start


def measure(tests: Sequence[str]) -> Coverage:
    """Runs the tests in this process; those that fail, as some do while lines are traced, are left out."""
    recorder = _Recorder()
    recorder.coverage.start()
    pytest.main(["-q", "-p", "no:cacheprovider", *tests], plugins=[recorder])
    recorder.coverage.stop()
    data, lines = recorder.coverage.get_data(), dict[str, dict[int, list[str]]]()
    for file in data.measured_files():
        found = {
            line: [test for test in tests if test] for line, tests in data.contexts_by_lineno(file).items()
        }
        lines[str(Path(file).relative_to(ROOT))] = found
    return Coverage(lines, recorder.seconds)


def in_fork(work: Callable[[], int], seconds: float) -> int | None:
    """The exit status of `work` in a fork of this process; None where it had not ended after so long."""
    child = os.fork()
    if child == 0:
        os.setsid()
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        status = 1
        try:
            status = int(work())
        finally:
            os._exit(status)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (ended := os.waitpid(child, os.WNOHANG))[0]:
            return os.waitstatus_to_exitcode(ended[1])
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives a module its changed source."""

    def __init__(self, file: str, source: str) -> None:
        self.name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self.file, self.source = file, source

    def find_spec(
        self, name: str, path: object, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self.name:
            return None
        package = self.file.endswith("__init__.py")
        return importlib.util.spec_from_file_location(
            name,
            ROOT / self.file,
            loader=self,
            submodule_search_locations=[str((ROOT / self.file).parent)] if package else None,
        )

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.source, str(ROOT / self.file), "exec"), module.__dict__)  # noqa: S102


def survives(file: str, mutant: Mutant, tests: list[str], seconds: float) -> bool:
    """Whether all tests pass with it."""

    def work() -> int:
        sys.meta_path.insert(0, _Mutated(file, mutant.source))
        return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore", *tests]))

    return in_fork(work, 3 * seconds + 20) == 0


def preload(tests: Sequence[str]) -> None:
    """Imports here what the tests import of other packages."""
    with tempfile.NamedTemporaryFile("r") as names:

        def work() -> int:
            pytest.main(["--collect-only", "-q", *tests])
            Path(names.name).write_text("\n".join(sys.modules), "utf-8")
            return 0

        in_fork(work, 120)
        for name in names.read().split("\n"):
            if name.split(".")[0] not in OURS and name not in sys.modules and "conftest" not in name:
                try:
                    importlib.import_module(name)
                except Exception:  # it is loaded where it is needed
                    continue


def run(files: Sequence[str], recorded: Coverage, sample: int, workers: int) -> None:
    """Prints each survivor and the score of each file."""
    with ThreadPoolExecutor(workers) as pool:
        for file in files:
            every = list(mutants((ROOT / file).read_text("utf-8")))
            chosen = random.Random(0).sample(every, min(sample, len(every)))

            unchanged = Mutant(0, "unchanged", (ROOT / file).read_text("utf-8"))
            if not survives(file, unchanged, recorded.tests(file, 0), 100):
                sys.exit(f"{file}: its tests fail where nothing is changed.")

            def judged(mutant: Mutant, file: str = file) -> bool:
                tests = recorded.tests(file, mutant.line)
                return not tests or survives(
                    file, mutant, tests, sum(recorded.seconds[test] for test in tests)
                )

            survivors = [mutant for mutant, alive in zip(chosen, pool.map(judged, chosen)) if alive]
            for mutant in sorted(survivors, key=lambda mutant: mutant.line):
                print(f"  {file}:{mutant.line}: {mutant.change}")
            share = 1 - len(survivors) / max(1, len(chosen))
            print(f"{file}: {share:.0%} of {len(chosen)} killed ({len(every)} mutants)", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("files", nargs="+", metavar="FILE", help="modules to change")
    parser.add_argument("--tests", nargs="+", required=True, metavar="FILE", help="files of tests")
    parser.add_argument(
        "--sample", type=int, default=10**6, metavar="N", help="at most N of a module, drawn at random"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="so many at once")
    parser.add_argument("--record", type=Path, metavar="FILE", help="coverage that is kept for the next run")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # threads of a pool are not there in a fork
    os.environ.setdefault("ATELIER_DATA", tempfile.mkdtemp(prefix="latent-atelier-tests-"))
    if options.record is None or not options.record.is_file():
        path = options.record or Path(tempfile.mkdtemp()) / "coverage.json"

        def work() -> int:
            recorded = measure(options.tests)
            path.write_text(json.dumps([recorded.lines, recorded.seconds]), "utf-8")
            return 0

        if in_fork(work, 3600) != 0:
            sys.exit("The tests could not be run.")
    else:
        path = options.record
    lines, seconds = json.loads(path.read_text("utf-8"))
    numbered: dict[str, dict[int, list[str]]] = defaultdict(dict)
    for file, found in lines.items():
        numbered[file] = {int(line): tests for line, tests in found.items()}
    preload(options.tests)
    run(options.files, Coverage(dict(numbered), seconds), options.sample, options.workers)


if __name__ == "__main__":
    main()
