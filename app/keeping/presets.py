"""The settings of forms: presets by name, what each model begins with, and the last ones of each form.

On the computer's owner's own disk, in one small database.  What is kept is checked like any other input
when it comes back, so that a version that knows other settings leaves out what it does not know.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from app.keeping.database import Database
from ldm_core.errors import FileError, RequestError
from ldm_core.request import decode_json

Settings = dict[str, object]  # name of a form's component -> its value, as JSON
Kind = Literal["preset", "model", "last"]

MIGRATIONS = (
    """
    CREATE TABLE settings (
        form TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, settings TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (form, kind, name)
    );
    """,
)
PROGRAM, VERSION = "Latent Atelier", 1
MAX_BYTES = 2_000_000  # of one form's settings
MAX_NAME = 120  # characters
MOST = 2000  # presets of a form


class Presets:
    """Settings by form, kind and name.

    Raises:
        FileError: from every method, where the database cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, MIGRATIONS)

    def names(self, form: str) -> list[str]:
        """The presets of a form, sorted."""
        with self._database.reading() as rows:
            found = rows.execute(
                "SELECT name FROM settings WHERE form = ? AND kind = 'preset' ORDER BY name COLLATE NOCASE",
                [form],
            )
            return [str(row["name"]) for row in found]

    def read(self, form: str, kind: Kind, name: str = "") -> Settings | None:
        """None where there are none."""
        with self._database.reading() as rows:
            found = rows.execute(
                "SELECT settings FROM settings WHERE form = ? AND kind = ? AND name = ?", [form, kind, name]
            ).fetchone()
        if found is None:
            return None
        read = json.loads(found["settings"])
        return read if isinstance(read, dict) else None

    def write(self, form: str, kind: Kind, settings: Mapping[str, object], name: str = "") -> None:
        """Takes the place of what was kept under that name."""
        if kind == "preset":
            name = checked_name(name)
            if len(self.names(form)) >= MOST:
                raise FileError(f"There are {MOST} presets already; delete one.")
        text = json.dumps(settings)
        if len(text) > MAX_BYTES:
            raise FileError("These settings are too large to be kept.")
        with self._database.writing() as rows:
            rows.execute(
                "INSERT OR REPLACE INTO settings VALUES (?, ?, ?, ?, ?)",
                [form, kind, name, text, time.time()],
            )

    def rename(self, form: str, name: str, new: str) -> None:
        """Raises: FileError: the new name is taken, or no name."""
        new = checked_name(new)
        if new == name:
            return
        if new in self.names(form):
            raise FileError(f"There is a preset {new!r} already; choose another name.")
        with self._database.writing() as rows:
            rows.execute(
                "UPDATE settings SET name = ? WHERE form = ? AND kind = 'preset' AND name = ?",
                [new, form, name],
            )

    def delete(self, form: str, kind: Kind, name: str) -> None:
        with self._database.writing() as rows:
            rows.execute("DELETE FROM settings WHERE form = ? AND kind = ? AND name = ?", [form, kind, name])

    def close(self) -> None:
        self._database.close()


def checked_name(name: str) -> str:
    """A name that a preset may have.

    Raises:
        FileError: it is empty, too long or holds what cannot be shown.
    """
    name = name.strip()
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise FileError(f"Write a name of 1 to {MAX_NAME} characters first.")
    return name


def from_file(content: bytes, form: str) -> tuple[str, Settings, str]:
    """The name and settings in a preset's file, and a sentence about what a person may not expect; "".

    Raises:
        FileError: it is no such file, or of another tab.
    """
    if len(content) > MAX_BYTES:
        raise FileError("This file is too large for a preset.")
    try:
        read = decode_json(content)
    except RequestError:
        read = None
    if not isinstance(read, Mapping) or read.get("kind") != "preset":
        raise FileError("This file is no preset: it has to be one that was exported here.")
    settings, of = read.get("settings"), read.get("form")
    if not isinstance(settings, dict):
        raise FileError("This preset is damaged: it holds no settings.")
    if of != form:
        raise FileError(f"This preset is of another tab ({str(of)[:20]}); open it there.")
    version = read.get("version")
    newer = not isinstance(version, int) or version > VERSION
    note = "It was written by a newer version; what is not known here is left out." if newer else ""
    return str(read.get("name") or "")[:MAX_NAME], settings, note
