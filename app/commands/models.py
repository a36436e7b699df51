"""`launch.py models`: what there is, adding to it, taking away from it.  Imports no gradio."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from app.keeping.places import open_models
from app.keeping.shelf import Shelf
from ldm_core.errors import AtelierError
from ldm_core.library.hub import Offer, fetch, look
from ldm_core.library.index import Entry
from ldm_core.library.models import ModelLibrary
from ldm_core.wording import size_text

HASHED = 2**30  # bytes; a list does not wait for the hash of a larger file


def list_models(folders: Sequence[str], as_json: bool) -> int:
    """Prints everything that lies in the folders; returns the exit status."""
    library = open_models(folders)
    entries = [_hashed(library, e) if e.is_usable and e.size <= HASHED else e for e in library.entries()]
    library.remember()
    if as_json:
        print(json.dumps([facts(entry) for entry in entries], indent=1))
    else:
        print(
            "\n".join(_line(entry) for entry in entries) or "There is no model; add one with: models add NAME"
        )
    for problem in library.problems():
        print(problem, file=sys.stderr)
    return 0


def show(folders: Sequence[str], name: str, as_json: bool) -> int:
    """Prints everything known of one model."""
    library = open_models(folders)
    entry = _hashed(library, library.entry(name))
    library.remember()
    known = facts(entry)
    if as_json:
        print(json.dumps(known, indent=1))
    else:
        print(
            "\n".join(f"{key}: {_text(value)}" for key, value in known.items() if value not in ("", [], None))
        )
    return 0


def add(folders: Sequence[str], what: str, *, link: bool, yes: bool) -> int:
    """Adds a local file or folder, or fetches from the hub."""
    shelf = Shelf(open_models(folders))
    if Path(what).expanduser().exists():
        print(f"Added as {shelf.add(Path(what), link=link)}.")
        return 0
    offer = look(what)
    print(f"{offer.name}: {size_text(offer.size)} from {offer.repository}, revision {offer.revision[:12]}")
    print(
        "Licence:", " ".join(part for part in (offer.licence, offer.licence_url) if part) or _unknown(offer)
    )
    if not yes and sys.stdin.isatty() and not _agreed("Fetch it?"):
        return 1
    try:
        folder = fetch(offer, shelf.folder, _show_progress)
    finally:
        if sys.stderr.isatty():
            print(file=sys.stderr)
    print(f"Fetched into {shelf.folder.name}/{folder.name}.")
    return 0


def remove(folders: Sequence[str], name: str, *, yes: bool) -> int:
    """Deletes a model that lies in our own folder."""
    shelf = Shelf(open_models(folders))
    entry = shelf.models.entry(name)
    if not yes and not _agreed(f"Delete {entry.path} ({size_text(entry.size)})?"):
        print("Nothing was deleted.")
        return 1
    shelf.remove(entry)
    print(f"Removed {name}.")
    return 0


def facts(entry: Entry) -> dict[str, object]:
    """What the JSON says of an entry."""
    return {
        "name": entry.name,
        "title": entry.title,
        "kind": entry.kind,
        "family": entry.family,
        "tasks": list(entry.tasks),
        "usable": entry.is_usable,
        "problem": entry.problem,
        "note": entry.note,
        "size": entry.size,
        "parameters": entry.num_parameters,
        "precision": entry.precision,
        "sha256": entry.sha256,
        "autov2": entry.autov2,
        "licence": entry.licence,
        "source": entry.source,
        "description": entry.description,
        "path": str(entry.path),
    }


def _hashed(library: ModelLibrary, entry: Entry) -> Entry:
    try:
        library.sha256(entry.name)
    except AtelierError:
        return entry  # it vanished just now
    return library.entry(entry.name)


def _line(entry: Entry) -> str:
    what = entry.title or entry.family or entry.kind
    can = ", ".join(entry.tasks)
    parts = (what, can, size_text(entry.size), entry.precision, entry.autov2, entry.licence, entry.problem)
    return f"{entry.name}: {' · '.join(part for part in parts if part)}"


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _unknown(offer: Offer) -> str:
    return f"not named; look at the page of {offer.repository} before you use it"


def _agreed(question: str) -> bool:
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _show_progress(progress: object) -> None:
    if sys.stderr.isatty():
        print(f"\r{progress}    ", end="", file=sys.stderr, flush=True)
