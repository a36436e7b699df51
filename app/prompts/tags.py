"""Tags of the artist's own files, in the table of the field: name, category, count, "aliases,with,commas".

1girl,0,4114588,"1girls,sole_female"
"""

from __future__ import annotations

import bisect
import csv
import heapq
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_ROWS = 1_000_000
MAX_BYTES = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Tag:
    name: str
    category: str = ""
    count: int = 0
    alias: str = ""  # by which it was found


class Tags:
    """The tags of all .csv files in a folder, read when they are first asked for and when a file changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._stamps: list[tuple[str, int, int]] | None = None
        self._rows: list[tuple[str, str, int]] = []  # the most used first
        self._keys: list[str] = []  # names, aliases and what is left of names from a later word on, sorted
        self._at: list[int] = []  # the row of each

    def find(self, start: str, most: int = 12) -> list[Tag]:
        """Tags of which the name, a later word of it or an alias begins like this, the most used first."""
        key = _key(start)
        with self._lock:
            self._read()
            if not key:
                return []
            first, last = (bisect.bisect_left(self._keys, bound) for bound in (key, key + "\U0010ffff"))
            same = bisect.bisect_right(self._keys, key)
            exact = [row for row in set(self._at[first:same]) if _key(self._rows[row][0]) == key]
            rows = exact + heapq.nsmallest(most + len(exact), set(self._at[first:last]))
            return [self._tag(row, key) for row in list(dict.fromkeys(rows))[:most]]

    def _tag(self, row: int, key: str) -> Tag:
        name, category, count = self._rows[row]
        is_named = any(start.startswith(key) for start in _starts(_key(name)))
        return Tag(name, category, count, "" if is_named else key)

    def _read(self) -> None:
        paths = sorted(self._folder.glob("*.csv")) if self._folder.is_dir() else []
        files = [(path, path.stat()) for path in paths]
        stamps = [(path.name, stat.st_size, stat.st_mtime_ns) for path, stat in files]
        if stamps == self._stamps:
            return
        self._stamps = stamps
        found: dict[str, tuple[str, int, str]] = {}
        for path, stat in files:
            for name, category, count, aliases in _rows_of(path) if stat.st_size <= MAX_BYTES else ():
                if len(found) < MAX_ROWS:
                    found.setdefault(name, (category, count, aliases))
        used = sorted(found.items(), key=lambda item: -item[1][1])
        self._rows = [(name, category, count) for name, (category, count, _) in used]
        pairs = [(start, row) for row, (name, _) in enumerate(used) for start in _starts(_key(name))]
        for row, (_, (_, _, aliases)) in enumerate(used):
            pairs += [(_key(alias), row) for alias in aliases.split(",") if alias]
        pairs.sort()
        self._keys = [key for key, _ in pairs]
        self._at = [row for _, row in pairs]


def _starts(key: str) -> list[str]:
    """A name, and what is left of it from its second word on, and so forth."""
    starts = [key]
    while len(starts) < 4 and " " in key:
        key = key.partition(" ")[2]
        starts.append(key)
    return starts


def _key(text: str) -> str:
    return text.replace("_", " ").lower().strip()


def _rows_of(path: Path) -> Iterator[tuple[str, str, int, str]]:
    """Rows of a file; what is no row is passed over."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv.reader(file)
        while True:
            try:
                row = next(rows, None)
            except csv.Error:
                continue
            if row is None:
                return
            name, category, count, aliases, *_ = [*row, "", "", "", ""]
            if name.strip() and not name.startswith("#"):
                number = int(count) if count.strip().isdecimal() and len(count) < 16 else 0
                yield name.strip(), category.strip(), number, aliases
