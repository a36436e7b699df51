r"""Dynamic prompts: a template in the grammar of the field, and the prompt that it becomes.

    {a|b}                     one of them; {0.5::a|2::b} with weights, 1 where none is given
    {2$$a|b|c}                two different ones, "a, c"; {2-3$$ and $$a|b|c} two or three, "a and c"
    __colours__               a line of a wildcard file; a/b subfolders, * within a folder, ** across them
    {2$$__colours__}          two different lines
    ${x=__colours__}          ${x} is from here on another draw each time; ${x=!__colours__} the same draw
    ${x:blue}                 with what stands for it where it was not set
    __coat(colour=red)__      a line in which ${colour} is red
    # at a line's beginning, or between blanks, to the line's end: not part of the prompt
    \{ \} \| \$ \_ \#         these characters themselves; any other backslash stays

Everything nests.  A bracket without its partner is text.  The grammar is described at
https://github.com/adieyal/sd-dynamic-prompts/blob/main/docs/SYNTAX.md
"""

from __future__ import annotations

import bisect
import functools
import itertools
import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

DEPTH = 40  # of what nests, files included
WORK = 20_000  # pieces that one template may take
CHARACTERS = 20_000  # of what comes out
JOINER = ", "


class TemplateError(ValueError):
    """A template cannot become a prompt; the message is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Lines:
    """What a wildcard stands for: its lines, and the running sum of their weights."""

    texts: Sequence[str]
    sums: Sequence[float]


Lookup: TypeAlias = Callable[[str], Lines]  # of a wildcard's name; raises TemplateError


# Nodes of a parsed template.
@dataclass(frozen=True, slots=True)
class Choice:
    """`least` to `most` different options of those given."""

    options: tuple[Nodes, ...]
    sums: tuple[float, ...]
    least: int = 1
    most: int = 1
    joiner: str = JOINER


@dataclass(frozen=True, slots=True)
class Wildcard:
    name: str
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Assign:
    name: str
    value: Nodes
    at_once: bool


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    default: Nodes | None


Node: TypeAlias = "str | Choice | Wildcard | Assign | Variable"
Nodes: TypeAlias = tuple[Node, ...]


def expand(template: str, seed: int, field: str, lookup: Lookup) -> str:
    """The prompt that a template becomes for a picture.

    Its draws are those of Python's `random.Random("FIELD SEED").random()`, in reading order, one for each
    choice of one; among several each option draws.  So a picture's seed repeats its prompt, as long as the
    wildcard files stay.

    Args:
        seed: of this picture alone, not of its batch.
        field: prompt or negative_prompt, so that the two draw apart.

    Raises:
        TemplateError: there is no such wildcard or variable, or it nests too deeply or becomes too long.
    """
    if not is_dynamic(template):
        return template
    return _Expansion(random.Random(f"{field} {seed}").random, lookup).text(parse(template), 0).strip()


def is_dynamic(text: str) -> bool:
    """Whether a text may become another one."""
    return re.search(r"[{}]|__|\\[{}|$_#]|(?:^|\s)#", text) is not None


def escaped(text: str) -> str:
    """The template that becomes exactly this text."""
    return re.sub(r"\\[|$_#]|[{}]|\$(?=\{)|_(?=_)|(?:(?<=\s)|^)#", r"\\\g<0>", text)


# Reading ------------------------------------------------------------------------------------------------

_SPECIAL = re.compile(r"[\\{$_]")
_BORDER = re.compile(r"[\\{|]")
_NAME = re.compile(r"__(?![\s_])([^{}|#$\n()]{1,150}?)(\([^(){}|\n]{0,400}\))?(?<![\s])__")
_COUNT = re.compile(r"\s*(\d{0,4})(-?)(\d{0,4})\$\$(?:([^${}]{0,60})\$\$)?")
_WEIGHT = re.compile(r"\s*(\d{0,9}(?:\.\d{0,9})?)::")
_VARIABLE = re.compile(r"\s*([^\W\d]\w{0,60})\s*(=!|=|:|(?=\}))")


@functools.lru_cache(maxsize=256)
def parse(template: str) -> Nodes:
    """The nodes of a template, in linear time.

    Raises:
        TemplateError: it nests too deeply.
    """
    return _Reader(_without_comments(template)).whole()


def _partners(text: str) -> dict[int, int]:
    """Where the bracket closes that opens there."""
    found: dict[int, int] = {}
    opened: list[int] = []
    at = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1 if text[at + 1 : at + 2] == "\\" else 2
            continue
        if text[at] == "{":
            opened.append(at)
        elif text[at] == "}" and opened:
            found[opened.pop()] = at
        at += 1
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._ends = _partners(text)

    def whole(self) -> Nodes:
        return self._nodes(0, len(self._text), 0)

    def _nodes(self, at: int, end: int, depth: int) -> Nodes:
        """What stands between two places."""
        if depth > DEPTH:
            raise TemplateError(f"It nests more than {DEPTH} brackets.")
        nodes: list[Node] = []
        while at < end:
            special = _SPECIAL.search(self._text, at, end)
            start = special.start() if special else end
            nodes.append(self._text[at:start])
            at = start
            if special is not None:
                node, at = self._node(start, end, depth)
                nodes.append(node)
        return _joined(nodes)

    def _node(self, at: int, end: int, depth: int) -> tuple[Node, int]:
        """The node that begins with a special character, and where it ends."""
        text = self._text
        if text[at] == "\\" and at + 1 < end and text[at + 1] in "{}|$_#":
            return text[at + 1], at + 2
        if text[at] == "_" and (match := _NAME.match(text, at, end)):
            return Wildcard(match[1].strip(), _parameters(match[2] or "")), match.end()
        if text[at] == "{" and at in self._ends:
            close = self._ends[at]
            return self._choice(at + 1, close, depth + 1), close + 1
        if text[at] == "$" and at + 1 in self._ends and (match := _VARIABLE.match(text, at + 2)):
            close = self._ends[at + 1]
            if match.end() <= close:
                inside = self._nodes(match.end(), close, depth + 1) if match[2] else None
                if match[2].startswith("="):
                    return Assign(match[1], inside or (), match[2] == "=!"), close + 1
                return Variable(match[1], inside), close + 1
        return text[at], at + 1

    def _choice(self, at: int, end: int, depth: int) -> Choice:
        least, most, joiner = 1, 1, JOINER
        if (count := _COUNT.match(self._text, at, end)) and (count[1] or count[3]):
            least = int(count[1] or 1)
            most = int(count[3] or 9999) if count[2] else least
            joiner = JOINER if count[4] is None else count[4]
            at = count.end()
        options: list[Nodes] = []
        weights: list[float] = []
        for start, stop in self._options(at, end):
            weight = _WEIGHT.match(self._text, start, stop)
            number = weight[1] if weight else ""
            has_weight = weight is not None and number.strip(".") != ""
            weights.append(float(number) if has_weight else 1.0)
            options.append(
                _stripped(self._nodes(weight.end() if weight and has_weight else start, stop, depth))
            )
        return Choice(
            tuple(options), tuple(itertools.accumulate(weights)), min(least, most), max(least, most), joiner
        )

    def _options(self, at: int, end: int) -> list[tuple[int, int]]:
        """Where each option stands."""
        found: list[tuple[int, int]] = []
        start = at
        while at < end:
            special = _BORDER.search(self._text, at, end)
            if special is None:
                break
            at = special.start()
            if self._text[at] == "\\":
                at += 1 if self._text[at + 1 : at + 2] == "\\" else 2
            elif self._text[at] == "{":
                at = self._ends.get(at, at) + 1
            else:
                found.append((start, at))
                start = at = at + 1
        return [*found, (start, end)]


def _joined(nodes: Sequence[Node]) -> Nodes:
    """With texts beside one another as one."""
    joined: list[Node] = []
    for is_text, group in itertools.groupby(nodes, lambda node: isinstance(node, str)):
        several = list(group)
        joined += ["".join(map(str, several))] if is_text else several
    return tuple(node for node in joined if node != "")


def _without_comments(text: str) -> str:
    if "#" not in text:
        return text
    whole = re.sub(r"^[^\S\n]*#[^\n]*(?:\n|\Z)", "", text, flags=re.MULTILINE)
    return re.sub(r"(?<=\s)#\s[^\n]*", "", whole)


def _parameters(text: str) -> tuple[tuple[str, str], ...]:
    """The parameters in "(a=b, c=d)"."""
    halves = (part.partition("=") for part in text.strip("()").split(",") if "=" in part)
    return tuple((name.strip(), value.strip()) for name, _, value in halves)


def _stripped(nodes: Nodes) -> Nodes:
    """Without blanks at both ends."""
    if nodes and isinstance(nodes[0], str):
        nodes = (nodes[0].lstrip(), *nodes[1:])
    if nodes and isinstance(nodes[-1], str):
        nodes = (*nodes[:-1], nodes[-1].rstrip())
    return nodes


# Drawing ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Expansion:
    random: Callable[[], float]
    lookup: Lookup
    work: int = 0
    characters: int = 0
    variables: dict[str, Nodes] = field(default_factory=dict)

    def text(self, nodes: Nodes, depth: int) -> str:
        if depth > DEPTH:
            raise TemplateError(f"Its wildcards name one another more than {DEPTH} deep.")
        return "".join([self._node(node, depth) for node in nodes])

    def _node(self, node: Node, depth: int) -> str:
        self._count(1)
        if isinstance(node, str):
            self.characters += len(node)
            if self.characters > CHARACTERS:
                raise TemplateError(f"It becomes longer than {CHARACTERS:,} characters.")
            return node
        if isinstance(node, Choice):
            return self._choice(node, depth + 1)
        if isinstance(node, Wildcard):
            return self._wildcard(node, depth + 1)
        if isinstance(node, Assign):
            self.variables[node.name] = (self.text(node.value, depth + 1),) if node.at_once else node.value
            return ""
        value = self.variables.get(node.name, node.default)
        if value is None:
            raise TemplateError(
                f"Its variable ${{{node.name}}} is not set: write ${{{node.name}=...}} before."
            )
        return self.text(value, depth + 1)

    def _choice(self, node: Choice, depth: int) -> str:
        alone = node.options[0] if len(node.options) == 1 else ()
        if len(alone) == 1 and isinstance(alone[0], Wildcard) and not alone[0].parameters:
            return self._lines(self.lookup(alone[0].name), node.least, node.most, node.joiner, depth)
        chosen = self._chosen(node.sums, node.least, node.most)
        return node.joiner.join([self.text(node.options[i], depth) for i in chosen])

    def _wildcard(self, node: Wildcard, depth: int) -> str:
        lines = self.lookup(node.name)
        if not node.parameters:
            return self._lines(lines, 1, 1, JOINER, depth)
        before = self.variables
        self.variables = {**before, **{name: (value,) for name, value in node.parameters}}
        text = self._lines(lines, 1, 1, JOINER, depth)
        self.variables = before
        return text

    def _lines(self, lines: Lines, least: int, most: int, joiner: str, depth: int) -> str:
        chosen = self._chosen(lines.sums, least, most)
        return joiner.join([self.text(parse(lines.texts[i]), depth) for i in chosen])

    def _chosen(self, sums: Sequence[float], least: int, most: int) -> list[int]:
        """Indices of different options, by chance."""
        total = sums[-1] if sums else 0.0
        if not 0 < total < math.inf:
            raise TemplateError("Its choice has nothing to choose from: every weight is 0.")
        least, most = min(least, len(sums)), min(most, len(sums))
        count = least if least == most else least + int(self.random() * (most - least + 1))
        if count == 1:
            return [min(bisect.bisect_right(sums, self.random() * total), len(sums) - 1)]
        self._count(len(sums) // 10)
        weights = (after - before for before, after in itertools.pairwise((0.0, *sums)))
        # The order of ln(u) / weight is that of draws one after the other without replacement
        # (Efraimidis and Spirakis 2006, https://doi.org/10.1016/j.ipl.2005.11.003).
        keys = [(math.log(1.0 - self.random()) / weight, i) for i, weight in enumerate(weights) if weight > 0]
        return [i for _, i in sorted(keys, reverse=True)[:count]]

    def _count(self, work: int) -> None:
        self.work += work
        if self.work > WORK:
            raise TemplateError(f"It takes more than {WORK:,} pieces to become a prompt.")


def lines_of(texts: Sequence[str]) -> Lines:
    """Lines of a wildcard file, each with its weight before `::` where it has one."""
    read: list[str] = []
    weights: list[float] = []
    for text in texts:
        weight = _WEIGHT.match(text)
        number = weight[1] if weight else ""
        if weight is not None and number.strip("."):
            read.append(text[weight.end() :].strip())
            weights.append(float(number))
        else:
            read.append(text)
            weights.append(1.0)
    return Lines(read, list(itertools.accumulate(weights)))


def no_wildcards(name: str) -> Lines:
    """For where there are none."""
    raise TemplateError(f"There is no wildcard __{name}__.")
