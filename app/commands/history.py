"""`launch.py history`: searches, exports and reads anew the pictures that were made.  Imports no gradio."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from app.keeping.downloads import Carries
from app.keeping.history import OWNER, Entry, History, Query
from app.keeping.history.export import zipped
from app.keeping.places import open_models, outputs_folder
from ldm_core.errors import AtelierError, FileError
from ldm_core.pictures.writing import Format
from ldm_core.wording import shown


def history(options: argparse.Namespace) -> int:
    """Runs an action; returns the exit status."""
    opened = History(outputs_folder(options.outputs))
    try:
        if opened.notice:
            print(opened.notice, file=sys.stderr)
        if options.action == "rebuild":
            return _rebuild(opened)
        opened.start()
        entries = _found(opened, options)
        if options.action == "export":
            return _export(opened, entries, Path(options.out), options.format, options.carries)
        return _search(opened, entries[: options.limit], as_json=options.json)
    finally:
        opened.close()


def _found(opened: History, options: argparse.Namespace) -> list[Entry]:
    """The pictures that the options ask for.

    Raises:
        FileError: there is no such board.
    """
    person = None if options.person == "all" else str(options.person or OWNER)
    board = None
    if options.board:
        boards = opened.boards.of(person or OWNER)
        board = next((board.id for board in boards if board.name == options.board), None)
        if board is None:
            names = ", ".join(board.name for board in boards) or "none yet"
            raise FileError(f"There is no board {options.board!r}; the boards are: {names}.")
    query = Query(
        words=" ".join(options.words),
        task=options.task,
        model=options.model,
        adapter=options.lora,
        seed=options.seed,
        since=options.since,
        until=options.until,
        starred=options.starred,
        board=board,
        trashed=options.trash,
    )
    return opened.entries(opened.search(person, query), person)


def _search(opened: History, entries: Sequence[Entry], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps([{**asdict(e), "path": str(opened.file(e))} for e in entries], indent=1))
        return 0
    for entry in entries:
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.created))
        star = "*" if entry.starred else " "
        print(f"{day} {star} {shown(str(opened.file(entry)), 400)}  {shown(entry.prompt)}")
    if not entries:
        print("Nothing was found.", file=sys.stderr)
    return 0


def _rebuild(opened: History) -> int:
    changes = opened.rebuild()
    count = len(opened.search(None, Query())) + len(opened.search(None, Query(trashed=True)))
    print(f"{count} pictures.")
    if changes.refused:
        print(f"No picture that can be read: {changes.refused}.")
    return 0


def _export(opened: History, entries: Sequence[Entry], out: Path, format: Format, carries: Carries) -> int:
    if not entries:
        print("Nothing was found, so nothing was written.", file=sys.stderr)
        return 1
    models = open_models()

    def model_hash(name: str) -> str | None:
        try:
            return models.sha256(name)
        except (AtelierError, OSError):
            return None

    part = out.with_name(f".{out.name}.part")
    try:
        with part.open("wb") as file:
            for data in zipped(opened, entries, model_hash, format, carries):
                file.write(data)
        os.replace(part, out)
    except OSError as error:
        raise FileError(f"{out} cannot be written: {error.strerror or error}.") from None
    finally:
        part.unlink(missing_ok=True)
    print(f"{len(entries)} pictures are in {out}.")
    return 0
