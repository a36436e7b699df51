"""The model and the LoRAs that a picture names, among those that are here: by hash, then by name."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from app.keeping.readers.a1111 import LORA
from app.keeping.readers.said import Lora
from app.keeping.readers.translate import Settings, number_of, shown
from ldm_core.library.index import Entry
from ldm_core.request import RULES
from ldm_core.request.extensions import ADAPTER, EMBEDDING, MAX_ADAPTERS, AdapterUse

_AUTOV1 = 8  # digits of A1111's first hash, of 64 KiB in the middle of the file
_AUTOV2 = 10  # at least, of the whole file's SHA-256
_AUTOV3 = 12  # digits of what it writes of a LoRA, of the tensors alone
_MAX_HEADER = 100_000_000  # bytes of a safetensors file's; its own limit


def at_home(
    settings: Settings, models: Sequence[Entry], entries: Sequence[Entry], sha256: Callable[[str], str | None]
) -> Settings:
    """The settings with the names that their model and LoRAs have here, and notes about those that are not.

    Args:
        models: those that may be taken.
        entries: all that lies in the folders of models.
        sha256: tells the hash of the model of that name, None where it cannot be told.
    """
    here = _with_loras_here(_with_model_here(settings, models, sha256), entries)
    notes = (_told_of_embedding(name, digest, entries) for name, digest in settings.embeddings)
    return replace(here, notes=(*here.notes, *filter(None, notes)))


def _told_of_embedding(name: str, digest: str, entries: Sequence[Entry]) -> str:
    """What a person should know of one that a picture's prompts name; "" where it is here."""
    there = [entry for entry in entries if entry.kind == EMBEDDING and not entry.problem]
    if any(entry.name.casefold() == name.casefold() for entry in there):
        return ""
    same = next((entry for entry in there if digest and has_hash(entry, digest)), None)
    if same is not None:
        return f"Its embedding {shown(name)} is called {shown(same.name)} here; write that in the prompt."
    return f"Its embedding {shown(name)} is not here, so the picture will differ."


def _with_model_here(
    settings: Settings, entries: Sequence[Entry], sha256: Callable[[str], str | None]
) -> Settings:
    """What names no model, or one that is not here, stays as it is."""
    if "model" not in settings.fields_set and not settings.model_sha256:
        return settings
    wanted, digest = settings.request.model, settings.model_sha256 or ""
    same = [entry for entry in entries if has_hash(entry, digest)]
    named = sorted(
        (entry for entry in entries if "model" in settings.fields_set and _key(wanted) in _keys(entry)),
        key=lambda entry: entry.name != wanted,
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
            notes.append(f"The model {found.name} here is not the file that made it; pictures will differ.")
    request = replace(settings.request, model=found.name)
    return replace(settings, request=request, fields_set=settings.fields_set | {"model"}, notes=tuple(notes))


def _with_loras_here(settings: Settings, entries: Sequence[Entry]) -> Settings:
    """Those that are here become adapters, and leave the prompt; the others stay there."""
    there = [entry for entry in entries if entry.kind == ADAPTER and not entry.problem]
    uses: dict[str, AdapterUse] = {}
    notes: list[str] = []
    for lora in settings.loras:
        found = next((entry for entry in there if has_hash(entry, lora.digest)), None)
        found = found or next((entry for entry in there if is_named(entry, lora.name)), None)
        if found and lora.digest and _autov3(found) and not has_hash(found, lora.digest):
            notes.append(f"The LoRA {found.name} here is not the file that made it; pictures will differ.")
        use = None if found is None else use_of(found.name, lora)
        if use is None:
            why = "is not here" if found is None else "has a weight that is not allowed here"
            notes.append(f"Its LoRA {shown(str(lora))} {why}, so the picture will differ.")
        else:
            uses[lora.name] = use
    distinct = {use.name: use for use in uses.values()}
    if not distinct or len(distinct) > MAX_ADAPTERS:
        return replace(settings, notes=(*settings.notes, *notes))
    prompt = LORA.sub(lambda match: "" if match[1].strip() in uses else match[0], settings.request.prompt)
    request = replace(settings.request, prompt=prompt, adapters=tuple(distinct.values()))
    fields_set = settings.fields_set | {"adapters"}
    return replace(settings, request=request, fields_set=fields_set, notes=(*settings.notes, *notes))


def use_of(name: str, lora: Lora) -> AdapterUse | None:
    """The adapter of that name as strong as a tag says; None where that is not allowed."""
    unet = 1.0 if lora.weight is None else number_of(lora.weight)
    text = unet if lora.text_weight is None else number_of(lora.text_weight)
    read = RULES["adapters"].read([{"name": name, "unet": unet, "text": text}])
    return read[0] if isinstance(read, tuple) else None


def is_named(entry: Entry, name: str) -> bool:
    """Whether a name that another program or a person wrote is this entry's."""
    return _key(name) in _keys(entry)


def _keys(entry: Entry) -> tuple[str, str]:
    return _key(entry.name), _key(entry.title or entry.name)


def has_hash(entry: Entry, digest: str) -> bool:
    """Whether another program's hash is that of an entry's file; False while that is not computed."""
    if len(digest) == _AUTOV1:
        return _autov1(entry) == digest
    if len(digest) >= _AUTOV2 and entry.sha256 and entry.sha256.startswith(digest):
        return True
    return len(digest) in (_AUTOV3, 64) and entry.kind == ADAPTER and _autov3(entry).startswith(digest)


def _autov1(entry: Entry) -> str:
    """A1111's hash of 2022; "" of a folder."""
    try:
        with entry.path.open("rb") as file:
            file.seek(1 << 20)
            return hashlib.sha256(file.read(1 << 16)).hexdigest()[:_AUTOV1]
    except OSError:
        return ""


def _autov3(entry: Entry) -> str:
    """A1111's hash of a LoRA, which stays where a trainer's notes in the file are edited; "" without one."""
    try:
        state = entry.path.stat()
        return _tensors_hash(entry.path, state.st_mtime_ns, state.st_size)
    except OSError:
        return ""


@functools.lru_cache(maxsize=4096)
def _tensors_hash(path: Path, _changed: int, size: int) -> str:
    """SHA-256 of a safetensors file behind its header, whose length stands in its first eight bytes."""
    if path.suffix.lower() != ".safetensors":
        return ""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
        if header > min(size, _MAX_HEADER):
            return ""
        file.seek(8 + header)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _key(name: str) -> str:
    """Letters and digits; what stands for a space differs from program to program."""
    return re.sub(r"[^\w]|_", "", name.lower())
