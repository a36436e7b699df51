"""The model that a picture names, among those that are here: by its hash, then by its name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from app.keeping.readers.translate import Settings, shown
from ldm_core.library.index import Entry

_AUTOV1 = 8  # digits of A1111's first hash, of 64 KiB in the middle of the file
_AUTOV2 = 10  # at least, of the whole file's SHA-256


def with_model_here(
    settings: Settings, entries: Sequence[Entry], sha256: Callable[[str], str | None]
) -> Settings:
    """The settings with the name that their model has here, and a note where it is not certainly the same.

    What names no model, or one that is not here, stays as it is.

    Args:
        sha256: tells the hash of the model of that name, None where it cannot be told.
    """
    if "model" not in settings.given and not settings.model_sha256:
        return settings
    wanted, digest = settings.request.model, settings.model_sha256 or ""
    same = [entry for entry in entries if has_hash(entry, digest)]
    named = sorted(
        (one for one in entries if "model" in settings.given and _key(wanted) in _keys(one)),
        key=lambda one: one.name != wanted,
    )
    found = next((entry for entry in named if entry in same), None) or next(iter([*same, *named]), None)
    if found is None:
        return settings
    notes = list(settings.notes)
    if found not in same:
        if len(named) > 1 and found.name != wanted:
            notes.append(f"Several models here could be its {shown(wanted)}; {found.name} is taken.")
        hashed = replace(found, sha256=sha256(found.name) or "") if len(digest) >= _AUTOV2 else found
        if digest and (hashed.sha256 or len(digest) == _AUTOV1) and not has_hash(hashed, digest):
            notes.append(
                f"The model {found.name} here is not the file that made it, so pictures will differ."
            )
    request = replace(settings.request, model=found.name)
    return replace(settings, request=request, given=settings.given | {"model"}, notes=tuple(notes))


def _keys(entry: Entry) -> tuple[str, str]:
    return _key(entry.name), _key(entry.title or entry.name)


def has_hash(entry: Entry, digest: str) -> bool:
    """Whether another program's hash is that of an entry's file; False while that is not computed."""
    if len(digest) == _AUTOV1:
        return _autov1(entry) == digest
    return len(digest) >= _AUTOV2 and bool(entry.sha256) and entry.sha256.startswith(digest)


def _autov1(entry: Entry) -> str:
    """A1111's hash of 2022; "" of a folder."""
    try:
        with entry.path.open("rb") as file:
            file.seek(1 << 20)
            return hashlib.sha256(file.read(1 << 16)).hexdigest()[:_AUTOV1]
    except OSError:
        return ""


def _key(name: str) -> str:
    """Letters and digits; what stands for a space differs from program to program."""
    return re.sub(r"[^\w]|_", "", name.lower())
