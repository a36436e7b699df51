"""What lies in folders of models: told by content once, then remembered in a cache.

Imports no torch where the cache knows everything.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from ldm_core.errors import AtelierError, ModelFileError
from ldm_core.formats.folders import read_json
from ldm_core.library.collection import (
    SOURCE,
    WEIGHTS_SUFFIXES,
    Found,
    Stamp,
    names_of,
    printable,
    stamp_of,
    walk,
)

_BLOCK = 1 << 20  # bytes
_VERSION = 2
MAX_CACHE = 256_000_000  # bytes
_PACKAGE = Path(__file__).resolve().parents[1]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in a folder of models, usable or not.

    Attributes:
        name: unique; a name to look up, never a path.
        path: the file, or the model's folder.
        kind, family, tasks, precision, num_parameters, title, description, licence, problem, note:
            see `formats.identify.Identity`.
        size: bytes of all its weights.
        sha256: of the weights, in the order of their names; empty while not computed.
        source: where it was fetched from; empty where that is not known.
    """

    name: str
    path: Path
    kind: str
    size: int
    family: str = ""
    tasks: tuple[str, ...] = ()
    precision: str = ""
    num_parameters: int = 0
    title: str = ""
    description: str = ""
    licence: str = ""
    problem: str = ""
    sha256: str = ""
    source: str = ""
    note: str = ""

    @property
    def is_usable(self) -> bool:
        """Whether it is a whole model that can make pictures here."""
        return self.kind == "model" and not self.problem

    def serves(self, task: str) -> bool:
        """Whether it can be used for a task; for "" whether it can be used at all.

        A model that was only glanced at may serve any task.
        """
        return self.is_usable and (not task or not self.tasks or task in self.tasks)

    @property
    def autov2(self) -> str:
        """The short form of the hash that other programs write into pictures; empty while not computed."""
        return self.sha256[:10]


class Index:
    """The entries of some folders.  Safe to use from several threads.

    Args:
        folders: where to look, the first first where names are equal.
        cache: the file that remembers what was found; None remembers nothing.
    """

    def __init__(self, folders: Sequence[Path], cache: Path | None = None) -> None:
        self._folders = tuple(folders)
        self._cache = cache
        self._scanning = threading.Lock()
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Stamp, Entry]] = _read_cache(cache) if cache else {}
        self._saved = dict(self._known)
        self._entries: dict[str, Entry] = {}
        self._found: dict[str, Found] = {}
        self.problems: tuple[str, ...] = ()

    def entries(self) -> dict[str, Entry]:
        """What the last scan found, by name, sorted."""
        return self._entries

    def remembered(self) -> dict[str, Entry]:
        """What the cache says of these folders; where it says nothing, the folders with a description.

        Opens no file, so a page can be shown at once.
        """
        inside = [str(folder.absolute()) + os.sep for folder in self._folders]
        entries = (e for p, (_, e) in sorted(self._known.items()) if any(p.startswith(f) for f in inside))
        found = {entry.name: entry for entry in entries if entry.kind}
        return found or self._glance()

    def _glance(self) -> dict[str, Entry]:
        found = [item for folder in self._folders for item in walk(folder, [], max_depth=1)]
        described = [item for item in found if any(name == "config.yaml" for name, _, _ in item.stamp)]
        named = zip(names_of(described), described, strict=True)
        return {name: Entry(name, item.path, kind="model", size=item.size) for name, item in named}

    def scan(self) -> dict[str, Entry]:
        """Looks into the folders: into files whose size or time is new, at the names alone of all others."""
        with self._scanning:
            problems: list[str] = []
            found: dict[Path, Found] = {}
            for folder in self._folders:
                for item in walk(folder, problems):
                    found.setdefault(item.path, item)
            names = names_of(list(found.values()))
            entries: dict[str, Entry] = {}
            by_name: dict[str, Found] = {}
            for name, item in zip(names, found.values(), strict=True):
                entry = self._entry(name, item)
                if entry is not None:
                    entries[name], by_name[name] = entry, item
            self._entries = dict(sorted(entries.items()))
            self._found, self.problems = by_name, tuple(problems)
            self._forget(set(map(str, found)))
            self.save()
            return self._entries

    def found(self, name: str) -> Found | None:
        """The files behind an entry, as the last scan saw them."""
        return self._found.get(name)

    def sha256(self, name: str, stop: threading.Event | None = None) -> str:
        """Hash of an entry's weights, computed once; "" where `stop` was set meanwhile.

        Raises:
            ModelFileError: the files were removed or cannot be read.
        """
        item = self._found[name]
        stamp = stamp_of(item)
        with self._lock:
            known = self._known.get(str(item.path))
        if known is not None and known[0] == stamp and known[1].sha256:
            return known[1].sha256
        digest = _hash(item, stop)
        with self._lock:
            if known is not None and known[0] == stamp:
                entry = replace(known[1], sha256=digest)
                self._known[str(item.path)] = stamp, entry
                if name in self._entries:
                    self._entries = {**self._entries, name: replace(entry, name=name)}
        return digest

    def save(self) -> None:
        """Writes the cache where it changed."""
        with self._lock:
            known = dict(self._known)
        if self._cache is not None and known != self._saved:
            self._saved = known
            _write_cache(self._cache, known)

    def _entry(self, name: str, item: Found) -> Entry | None:
        with self._lock:
            known = self._known.get(str(item.path))
        if known is None or known[0] != item.stamp or not known[1].kind:
            # An entry without a kind comes from another version of this program: only its hash counts.
            hashed = known[1].sha256 if known is not None and known[0] == item.stamp else ""
            known = item.stamp, _look(name, item, hashed)
            with self._lock:
                self._known[str(item.path)] = known
        entry = known[1]
        is_named = item.is_folder or item.path.suffix.lower() in WEIGHTS_SUFFIXES
        return replace(entry, name=name) if is_named or entry.kind != "unknown" else None

    def _forget(self, there: set[str]) -> None:
        """Drops what is gone from these folders; other folders' entries stay."""
        inside = [str(folder.absolute()) + os.sep for folder in self._folders]
        with self._lock:
            for path in [p for p in self._known if p not in there and any(p.startswith(f) for f in inside)]:
                del self._known[path]


# Looking into files --------------------------------------------------------------------------------------


def _look(name: str, item: Found, sha256: str) -> Entry:
    from ldm_core.formats.identify import identify

    is_ = identify(item.path)
    licence, source = _source(item)
    return Entry(
        name=name,
        path=item.path,
        kind=is_.kind,
        family=is_.family,
        tasks=is_.tasks,
        precision=is_.precision,
        num_parameters=is_.num_parameters,
        title=is_.title,
        description=is_.description,
        licence=is_.licence or licence,
        problem=is_.problem,
        note=is_.note,
        size=item.size,
        sha256=sha256,
        source=source,
    )


def _source(item: Found) -> tuple[str, str]:
    """(licence, source) of what was fetched from a hub; empty where nobody wrote them down."""
    path = (item.path if item.is_folder else item.path.parent) / SOURCE
    try:
        note = read_json(path) if path.is_file() else {}
    except AtelierError:
        return "", ""
    licence, source = note.get("licence"), note.get("source")
    texts = (
        value[:200] if isinstance(value, str) and value.isprintable() else "" for value in (licence, source)
    )
    return next(texts), next(texts)


def _hash(item: Found, stop: threading.Event | None) -> str:
    digest = hashlib.sha256()
    try:
        for path in sorted(item.weights):
            with open(path, "rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
                    if stop is not None and stop.is_set():
                        return ""
    except OSError as error:
        raise ModelFileError(f"{printable(item.path.name)} cannot be read: {error.strerror}.") from None
    return digest.hexdigest()


# The cache -----------------------------------------------------------------------------------------------


def _fingerprint() -> str:
    """Changes with the code that recognises files, so that its answers are not kept longer than it."""
    files = (*sorted((_PACKAGE / "formats").rglob("*.py")), _PACKAGE / "spec.py")
    marks = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr((_VERSION, marks)).encode()).hexdigest()


def _read_cache(cache: Path) -> dict[str, tuple[Stamp, Entry]]:
    """What the cache remembers; nothing where it is missing or damaged.

    Of another version of the program only the hashes are taken.
    """
    try:
        if cache.stat().st_size > MAX_CACHE:
            return {}
        content = json.loads(cache.read_text("utf-8"))
        same = content["recogniser"] == _fingerprint()
        known = {path: _from_json(path, row) for path, row in content["entries"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        log.warning("the index of models was damaged; it is made anew")
        return {}
    return known if same else {path: (stamp, replace(e, kind="")) for path, (stamp, e) in known.items()}


def _from_json(path: str, row: dict[str, object]) -> tuple[Stamp, Entry]:
    """One row of the cache.

    Raises:
        ValueError, TypeError, KeyError: it is not as `_write_cache` writes it.
    """
    stamp = tuple((str(n), int(t), int(s)) for n, t, s in row["stamp"])  # type: ignore[attr-defined]
    values: dict[str, str | int | tuple[str, ...] | Path] = {"path": Path(path)}
    for field in fields(Entry):
        value = row.get(field.name, "")
        if field.name in ("size", "num_parameters"):
            values[field.name] = int(str(value))
        elif field.name == "tasks" and isinstance(value, list):
            values["tasks"] = tuple(str(task) for task in value)
        elif field.name != "path":
            if not isinstance(value, str):
                raise TypeError(field.name)
            values[field.name] = value
    return stamp, Entry(**values)  # type: ignore[arg-type]


def _write_cache(cache: Path, known: dict[str, tuple[Stamp, Entry]]) -> None:
    """Writes beside and renames, so that the cache is whole at any time.  Without room it is not kept."""
    rows = {path: {**asdict(entry), "path": path, "stamp": stamp} for path, (stamp, entry) in known.items()}
    part = cache.with_name(f"{cache.name}.{os.getpid()}.part")
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "w", encoding="utf-8") as file:
            json.dump({"recogniser": _fingerprint(), "entries": rows}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, cache)
    except OSError as error:
        log.warning("the index of models could not be kept: %s", error.strerror)
        with suppress(OSError):
            part.unlink()
