"""Styles: words by name that are put around a prompt, in the styles.csv that A1111 and its relatives share.

    name,prompt,negative_prompt
    Poster,"{prompt}, flat colours, bold shapes",photograph

`{prompt}` stands for what a person wrote; without it a style is put behind that.  Rows whose name begins
with # are left alone.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ldm_core.errors import FileError

FILE = "styles.csv"  # that new styles are written into; styles*.csv beside it are read too
MAX_BYTES = 16 * 1024 * 1024
MAX_NAME = 120  # characters
PLACE = "{prompt}"
COLUMNS = ("name", "prompt", "negative_prompt")


@dataclass(frozen=True, slots=True)
class Style:
    name: str
    prompt: str = ""
    negative_prompt: str = ""


class Styles:
    """The styles in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._stamps: list[tuple[Path, int, int]] = []
        self._styles: dict[str, tuple[Style, Path]] = {}
        self.notice = ""  # a sentence where a file could not be read

    def names(self) -> list[str]:
        """In the order of their files."""
        with self._lock:
            return list(self._read())

    def style(self, name: str) -> Style:
        """Raises: FileError: there is none of that name."""
        with self._lock:
            found = self._read().get(name)
        if found is None:
            raise FileError(f"There is no style {name[:60]!r} any more; choose another one.")
        return found[0]

    def applied(self, prompt: str, negative_prompt: str, names: Iterable[str]) -> tuple[str, str]:
        """Both prompts with styles around them, one after the other.

        Raises:
            FileError: there is no such style.
        """
        for name in names:
            style = self.style(name)
            prompt = _around(style.prompt, prompt)
            negative_prompt = _around(style.negative_prompt, negative_prompt)
        return prompt, negative_prompt

    def save(self, style: Style) -> None:
        """Adds a style, or takes the place of the one of that name; the file before is kept as .bak.

        Raises:
            FileError: it has no usable name, or the file cannot be written.
        """
        name = style.name.strip()
        if not name or name.startswith("#") or len(name) > MAX_NAME or not name.isprintable():
            raise FileError(f"A style needs a name of 1 to {MAX_NAME} characters that does not begin with #.")
        with self._lock:
            found = self._read().get(name)
            path = found[1] if found else self._folder / FILE
            columns, rows = _rows(path) if path.exists() else (list(COLUMNS), [])
            text = "prompt" if "prompt" in columns else "text"
            new = {"name": name, text: style.prompt, "negative_prompt": style.negative_prompt}
            columns += [column for column in new if column not in columns]
            same = [row for row in rows if row.get("name") == name]
            if same:
                same[0].update(new)
            else:
                rows.append(new)
            _write(path, columns, rows)

    def delete(self, name: str) -> None:
        """Raises: FileError: there is none of that name, or the file cannot be written."""
        with self._lock:
            found = self._read().get(name)
            if found is None:
                raise FileError(f"There is no style {name[:60]!r} any more.")
            columns, rows = _rows(found[1])
            _write(found[1], columns, [row for row in rows if row.get("name") != name])

    def _read(self) -> dict[str, tuple[Style, Path]]:
        stamps = []
        for path in sorted(self._folder.glob("styles*.csv")):
            stat = path.stat()
            stamps.append((path, stat.st_size, stat.st_mtime_ns))
        if stamps != self._stamps:
            self._stamps, self._styles, self.notice = stamps, {}, ""
            for path, _, _ in stamps:
                try:
                    for style in _styles(_rows(path)[1]):
                        self._styles.setdefault(style.name, (style, path))
                except FileError as error:
                    self.notice = str(error)
        return self._styles


def _around(style: str, prompt: str) -> str:
    if PLACE in style:
        return style.replace(PLACE, prompt)
    return ", ".join(part for part in (prompt.strip(), style.strip()) if part)


def _styles(rows: Sequence[dict[str, str]]) -> list[Style]:
    named = [(row["name"].strip(), row) for row in rows]
    return [
        Style(name, row.get("prompt") or row.get("text", ""), row.get("negative_prompt", ""))
        for name, row in named
        if name and not name.startswith("#")
    ]


def _rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The columns and rows of a file.

    Raises:
        FileError: it cannot be read, or is no such file.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FileError(f"{path.name} is larger than {MAX_BYTES // 2**20} MB, too much for styles.")
        text = path.read_text(encoding="utf-8-sig", errors="replace")
        reader = csv.DictReader(io.StringIO(text, newline=""), restkey="more", restval="")
        rows = [{str(key): str(value) for key, value in row.items() if key != "more"} for row in reader]
        columns = [str(name) for name in reader.fieldnames or COLUMNS]
    except OSError as error:
        raise FileError(f"{path.name} cannot be read: {error.strerror or error}.") from None
    except csv.Error as error:
        raise FileError(f"{path.name} is no table of styles ({error}).") from None
    if "name" not in columns:
        raise FileError(f"{path.name} is no table of styles: its first line has to be {','.join(COLUMNS)}.")
    return columns, rows


def _write(path: Path, columns: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
    """The whole file at once, with the mark of UTF-8 that A1111 writes."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            shutil.copy2(path, path.with_name(path.name + ".bak"))
        part = path.with_name(f".{path.name}.part")
        with part.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise FileError(f"{path.name} cannot be written: {error.strerror or error}.") from None
