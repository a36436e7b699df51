"""The wildcard files of a folder: text, a line each, and YAML or JSON, a list for each name in a tree.

colours.txt               __colours__
people/jobs.txt           __people/jobs__
clothes.yaml              __coats/winter__, also __clothes/coats/winter__
"""

from __future__ import annotations

import difflib
import functools
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # built without libyaml: the same, 20 times slower
    from yaml import SafeLoader

from app.prompts.dynamic import Lines, TemplateError, lines_of

MAX_FILES = 20_000
MAX_BYTES = 16 * 1024 * 1024  # of one file
MAX_LINES = 500_000  # that one name stands for
DEPTH = 20  # of folders, and of a tree
MAX_STARS = 4  # more would take long to match
AGE = 2.0  # seconds until the folder is looked at again
_TREES = (".yaml", ".yml", ".json")


class Wildcards:
    """A folder of wildcard files; what changes there is seen within seconds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._looked = -AGE
        self._seen: dict[Path, tuple[int, int]] = {}
        self._files: dict[str, list[Path]] = {}  # name -> text files
        self._lists: dict[str, list[str]] = {}  # name -> lines of a tree
        self._aliases: dict[str, str] = {}  # with the tree's file name -> without
        self._lines: dict[str, Lines] = {}  # of a name or pattern that was asked for

    def names(self) -> list[str]:
        """The names that there are, sorted."""
        with self._lock:
            self._look()
            return sorted({*self._files, *self._lists})

    def lines(self, name: str) -> Lines:
        """What a name or pattern stands for.

        Raises:
            TemplateError: nothing of that name, or it is empty.
        """
        with self._lock:
            self._look()
            key = name.strip().strip("/").casefold()
            if key not in self._lines:
                texts = [line for each in self._matching(key) for line in self._texts(each)][:MAX_LINES]
                if not texts:
                    raise TemplateError(self._missing(name, key))
                self._lines[key] = lines_of(texts)
            return self._lines[key]

    def _matching(self, key: str) -> list[str]:
        known = {each.casefold(): each for each in (*self._files, *self._lists)}
        if "*" in key or "?" in key:
            if len(re.findall(r"\*+|\?", key)) > MAX_STARS:
                raise TemplateError(f"A wildcard's name may have {MAX_STARS} stars at most.")
            fits = re.compile(_pattern(key)).fullmatch
            return sorted(name for low, name in known.items() if fits(low))
        aliases = {alias.casefold(): name for alias, name in self._aliases.items()}
        found = known.get(key) or aliases.get(key)
        return [] if found is None else [found]

    def _texts(self, name: str) -> Iterator[str]:
        for path in self._files.get(name, ()):
            yield from (
                line for line in map(str.strip, _read(path).splitlines()) if line[:1] not in ("", "#")
            )
        yield from self._lists.get(name, ())

    def _missing(self, name: str, key: str) -> str:
        names = sorted({*self._files, *self._lists})
        if any(key == each.casefold() for each in names):
            return f"The wildcard __{name}__ is empty."
        near = difflib.get_close_matches(key, names[:2000], 1)
        hint = f" Is it __{near[0]}__?" if near else ""
        return (
            f"There is no wildcard __{name}__.{hint} Wildcards are files in {self._folder.parent.name}/"
            f"{self._folder.name}; "
            r"two underscores themselves are written \_\_."
        )

    def _look(self) -> None:
        """Reads the folder anew where something changed."""
        if time.monotonic() - self._looked < AGE:
            return
        self._looked = time.monotonic()
        seen = dict(_walk(self._folder))
        if seen == self._seen:
            return
        self._seen, self._files, self._lists, self._aliases, self._lines = seen, {}, {}, {}, {}
        for path, stamp in sorted(seen.items()):
            folders = path.parent.relative_to(self._folder).parts
            if path.suffix.lower() == ".txt":
                self._files.setdefault("/".join((*folders, path.stem)), []).append(path)
                continue
            for keys, texts in _lists(_tree(path, stamp), ()):
                name = "/".join((*folders, *(keys or (path.stem,))))
                self._lists.setdefault(name, []).extend(texts)
                self._aliases["/".join((*folders, path.stem, *keys))] = name


def _walk(folder: Path) -> Iterator[tuple[Path, tuple[int, int]]]:
    count = 0
    for here, folders, files in os.walk(folder):
        if len(Path(here).relative_to(folder).parts) >= DEPTH:
            folders.clear()
        folders.sort()
        for name in sorted(files):
            path = Path(here, name)
            if path.suffix.lower() not in (".txt", *_TREES) or count >= MAX_FILES:
                continue
            try:
                stat = path.stat()
            except OSError:
                continue
            if stat.st_size <= MAX_BYTES:
                count += 1
                yield path, (stat.st_size, stat.st_mtime_ns)


def _read(path: Path) -> str:
    """UTF-8, or what older programs on Windows wrote; "" where it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError:
        return ""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


@functools.lru_cache(maxsize=1024)
def _tree(path: Path, stamp: tuple[int, int]) -> object:
    """What a file of that stamp holds; None where it cannot be understood."""
    text = _read(path)
    try:
        return json.loads(text) if path.suffix.lower() == ".json" else SafeLoader(text).get_single_data()
    except (ValueError, yaml.YAMLError, RecursionError):
        return None


def _lists(tree: object, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Each list of a tree by its keys; whatever else is there does not count."""
    if isinstance(tree, list):
        yield keys, [str(item).strip() for item in tree[:MAX_LINES] if isinstance(item, str | int | float)]
    elif isinstance(tree, dict) and len(keys) < DEPTH:
        for key, value in tree.items():
            yield from _lists(value, (*keys, str(key)))


def _pattern(glob: str) -> str:
    """`*` and `?` within a folder, `**` across folders."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    meaning = {"**/": r"(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(meaning.get(part) or re.escape(part) for part in parts)
