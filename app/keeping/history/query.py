"""What somebody looks for among pictures, as SQL."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from app.keeping.history.facts import folded
from ldm_core.errors import RequestError

MAX_WORDS = 1000  # characters
MAX_TERMS = 20
_TERM = re.compile(r'(-?)(negative:)?(?:"([^"]*)"?|(\S+))')
_PART = 3  # letters: the index knows no shorter ones


@dataclass(frozen=True, slots=True)
class Query:
    """Pictures of one person that meet all of it; what is left empty asks for nothing.

    Attributes:
        words: parts of the prompt, the model's or a LoRA's name, or a seed, in any order.  `"so many words"`
            stand together, `-word` is not there, `negative:word` is in the negative prompt.
        since, until: days in the person's own time, both included.
        board: id of one.
        trashed: looks in the trash instead.
    """

    words: str = ""
    task: str = ""
    model: str = ""
    adapter: str = ""
    seed: str = ""
    since: date | None = None
    until: date | None = None
    starred: bool = False
    board: int | None = None
    trashed: bool = False
    oldest_first: bool = False


def query_of(texts: Mapping[str, str]) -> Query:
    """The query that texts by its fields' names describe; empty ones count as left out.

    Raises:
        RequestError: one has a value that is not allowed.
    """
    text = {name: value.replace("\0", "").strip() for name, value in texts.items()}
    words = text.get("words", "")
    if len(words) > MAX_WORDS:
        raise RequestError("words", words, f"a text of at most {MAX_WORDS} characters")
    board = text.get("board", "")
    if board and not (board.isascii() and board.isdigit() and len(board) < 19):
        raise RequestError("board", board, "the number of a board")
    return Query(
        words=words,
        task=text.get("task", ""),
        model=text.get("model", ""),
        adapter=text.get("adapter", ""),
        seed=text.get("seed", ""),
        since=_day(text, "since"),
        until=_day(text, "until"),
        starred=text.get("starred", "") == "1",
        board=int(board) if board else None,
        trashed=text.get("trashed", "") == "1",
        oldest_first=text.get("oldest_first", "") == "1",
    )


def _day(text: Mapping[str, str], name: str) -> date | None:
    value = text.get(name, "")
    try:
        return date.fromisoformat(value) if value else None
    except ValueError:
        raise RequestError(name, value, "a day as 2026-11-21") from None


def sql_of(query: Query, person: str | None) -> tuple[str, list[object]]:
    """The conditions and their values.  Without a person, of all."""
    conditions = ["gone IS NULL", f"trashed IS {'NOT ' if query.trashed else ''}NULL"]
    values: list[object] = []

    def also(condition: str, *more: object) -> None:
        conditions.append(condition)
        values.extend(more)

    if person is not None:
        also("person = ?", person)
    for name in ("task", "model", "seed"):
        if value := getattr(query, name):
            also(f"{name} = ?", value)
    if query.adapter:
        also("id IN (SELECT picture FROM adapters WHERE name = ?)", query.adapter)
    if query.since is not None:
        also("created >= ?", _midnight(query.since))
    if query.until is not None:
        also("created < ?", _midnight(query.until + timedelta(days=1)) if query.until < date.max else 1e12)
    if query.starred:
        also("starred")
    if query.board is not None:
        also("id IN (SELECT picture FROM on_boards WHERE board = ?)", query.board)
    for condition, more in _terms(query.words):
        also(condition, *more)
    return " AND ".join(conditions), values


def order_of(query: Query) -> str:
    """The newest first; in the trash what was deleted last."""
    direction = "ASC" if query.oldest_first else "DESC"
    first = f"trashed {direction}, " if query.trashed else ""
    return f"{first}created {direction}, id {direction}"


def _midnight(day: date) -> float:
    try:
        return datetime(day.year, day.month, day.day).timestamp()
    except (OverflowError, OSError, ValueError):  # the years 1 and 9999
        return -1e12 if day.year < 1970 else 1e12


def _terms(words: str) -> Iterator[tuple[str, list[object]]]:
    for minus, negative, phrase, word in _TERM.findall(words)[:MAX_TERMS]:
        term = folded(phrase or word)
        if term in ("", "-"):
            continue
        column = "unwanted" if negative else "words"
        if len(term) >= _PART:
            quoted = term.replace('"', '""')
            condition = "id IN (SELECT rowid FROM found WHERE found MATCH ?)"
            values: list[object] = [f'{column} : "{quoted}"']
        else:
            escaped = re.sub(r"([\\%_])", r"\\\1", term)
            condition, values = f"{column} LIKE ? ESCAPE '\\'", [f"%{escaped}%"]
        if term.isdigit() and not negative:
            condition, values = f"({condition} OR seed = ?)", [*values, term]
        yield (f"NOT {condition}" if minus else condition), values
