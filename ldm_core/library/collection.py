"""What may be a model in somebody's folders: a quick walk that opens nothing.

A collection may be shared with other programs: nested folders, single files of any name, folders with
`model.safetensors`, folders in the layout of diffusers.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

from ldm_core.errors import ModelFileError
from ldm_core.formats.folders import NOTED, PARTS, PIECE, weights_of

WEIGHTS_SUFFIXES = frozenset({".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf"})
HUB_CACHE = "models--"  # before "OWNER--NAME" of a repository in the cache of huggingface_hub
MAX_DEPTH = 8  # folders below a folder of models
SOURCE = "source.json"  # beside what was fetched: where from, its licence
# Never looked into: what lies beside models in such collections.
_OTHER_SUFFIXES = frozenset(
    ".txt .md .json .yaml .yml .csv .html .png .jpg .jpeg .webp .gif .mp4 .part .py .lock .info .log".split()
)
_EMBEDDINGS = "embeddings"  # the folder in which a picture may hold one
_JSON = ("config.json", "scheduler_config.json", "tokenizer.json", "vocab.json", "vocab.txt")
_BESIDE = ("config.yaml", "vocab.txt", SOURCE, "model_index.json", "config.json", "preprocessor_config.json")

Stamp = tuple[tuple[str, int, int], ...]  # of each file: name, modification time in ns, size


@dataclass(frozen=True, slots=True)
class Found:
    """Something that may be a model, before anybody looked into it."""

    path: Path  # the file, or the model's folder
    weights: tuple[Path, ...]
    size: int  # bytes of the weights
    stamp: Stamp

    @property
    def is_folder(self) -> bool:
        return self.weights[:1] != (self.path,)


def walk(folder: Path, problems: list[str], max_depth: int = MAX_DEPTH) -> Iterator[Found]:
    """All that may be a model in a folder and below, without opening anything.

    Links are followed, each folder once.  What cannot be read becomes a sentence in `problems`.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [(folder.absolute(), 0)]
    while waiting:
        here, depth = waiting.pop()
        try:
            info = os.stat(here)
            if not stat.S_ISDIR(info.st_mode) or (info.st_dev, info.st_ino) in seen:
                continue
            seen.add((info.st_dev, info.st_ino))
            with os.scandir(here) as scan:
                inside = sorted(scan, key=lambda item: item.name)
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(f"The folder {printable(here.name)} cannot be read: {error.strerror}.")
            continue
        pictures = {".png"} if here.name.lower() == _EMBEDDINGS else set()
        files: dict[str, os.stat_result] = {}  # that may be models
        notes: dict[str, os.stat_result] = {}
        folders: list[str] = []
        for item in inside:
            if item.name.startswith(".") or item.name == "__pycache__":
                continue
            with suppress(OSError):  # it vanished, or is a link to nothing
                suffix = PurePath(item.name).suffix.lower()
                if item.is_dir():
                    folders.append(item.name)
                elif item.name in _BESIDE or suffix == ".yaml":
                    notes[item.name] = item.stat()
                elif item.is_file() and suffix not in _OTHER_SUFFIXES - pictures:
                    files[item.name] = item.stat()
        if here.name.startswith(HUB_CACHE):  # what else lies there are the same files by their hashes
            waiting += [(here / name, depth + 1) for name in folders if name == "snapshots"]
            continue
        if "model_index.json" in notes:
            with suppress(OSError):
                yield _diffusers_folder(here)
            continue
        yield from _files(here, files, notes, depth)
        if depth < max_depth:
            waiting += [(here / name, depth + 1) for name in reversed(folders)]


def _files(
    folder: Path, files: dict[str, os.stat_result], notes: dict[str, os.stat_result], depth: int
) -> Iterator[Found]:
    """A folder's files; `model.safetensors` stands for its folder, the first of several pieces for all."""
    beside = tuple(_mark(name, notes[name]) for name in _BESIDE if name in notes)
    pieces: dict[str, list[str]] = {}
    for name in files:
        match = PIECE.search(PurePath(name).stem)
        whole = (
            f"{PIECE.sub('', PurePath(name).stem)} of {match[2]}{PurePath(name).suffix}" if match else name
        )
        pieces.setdefault(whole, []).append(name)
    for name, *others in pieces.values():
        info = files[name]
        yaml = f"{PurePath(name).stem}.yaml"
        described = [_mark(yaml, notes[yaml])] if yaml in notes and yaml not in _BESIDE else []
        separate = [other for other in files if other.startswith(f"{PurePath(name).stem}.vae.")]
        described += [_mark(other, files[other]) for other in separate]
        is_folder = name == "model.safetensors" and (depth > 0 or "config.yaml" in notes)
        size = sum(files[each].st_size for each in (name, *others))
        stamp = (_mark(name, info), *(_mark(each, files[each]) for each in others), *described, *beside)
        weights = tuple(folder / each for each in (name, *others))
        yield Found(folder if is_folder else folder / name, weights, size, stamp)


def _diffusers_folder(folder: Path) -> Found:
    weights = weights_of(folder)
    described = (folder / part / name for part in (*PARTS, *NOTED) for name in _JSON)
    notes = [item for item in (*(folder / name for name in _BESIDE), *described) if item.is_file()]
    stats = {str(file.relative_to(folder)): file.stat() for file in (*weights, *notes)}
    size = sum(stats[str(file.relative_to(folder))].st_size for file in weights)
    return Found(folder, weights, size, tuple(_mark(name, info) for name, info in stats.items()))


def _mark(name: str, info: os.stat_result) -> tuple[str, int, int]:
    return name, info.st_mtime_ns, info.st_size


def stamp_of(item: Found) -> Stamp:
    """The files' times and sizes now.

    Raises:
        ModelFileError: a file was removed or cannot be read.
    """
    base = item.path if item.is_folder else item.path.parent
    try:
        stats = [(name, os.stat(base / name)) for name, _, _ in item.stamp]
    except OSError:
        shown = printable(item.path.name)
        raise ModelFileError(f"The files of {shown} were removed or cannot be read.") from None
    return tuple(_mark(name, info) for name, info in stats)


def names_of(found: Sequence[Found]) -> list[str]:
    """A name for each: the file's without its suffix; where that is taken, more of its path."""
    taken: set[str] = set()
    names = []
    for item in found:
        whole, parent = printable(item.path.name), printable(item.path.parent.name)
        short = whole if item.is_folder else printable(_stem(item.path))
        if repository := _repository(item.path):  # its folders there are called by hashes
            whole, short = (repository, repository) if item.is_folder else (whole, short)
            parent = repository
        candidates = (short, whole, f"{short} ({parent})", f"{whole} ({parent})")
        numbered = (f"{whole} ({parent}) {number}" for number in itertools.count(2))
        name = next(name for name in itertools.chain(candidates, numbered) if name not in taken)
        taken.add(name)
        names.append(name)
    return names


def _stem(path: Path) -> str:
    """A file's name without its ending; of the first of several pieces without its number."""
    return PIECE.sub("", path.stem)


def _repository(path: Path) -> str:
    """The name of the hub's repository in whose cache a path lies; "" elsewhere."""
    box = next((part for part in reversed(path.parts) if part.startswith(HUB_CACHE)), "")
    return printable(box.rpartition("--")[2])[:80] if box else ""


def printable(name: str) -> str:
    """A file's name as it may stand on the page: one line, not long, without halves of characters."""
    clean = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in name).strip() or "_"
    return clean if len(clean) <= 80 else f"{clean[:60]}…{clean[-19:]}"
