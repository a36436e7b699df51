"""The picture that shows a grid: each picture small in its place, with what varies beside it."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from app.grids.axes import Axis
from app.grids.plan import Plan

log = logging.getLogger(__name__)

MOST_SIDE = 8192  # pixels of the whole
CELL = 512  # pixels, the longer side of a picture in it at most
GAP = 8
LINES = 4  # of one label
PAPER, INK, HOLE = (255, 255, 255), (24, 24, 24), (232, 232, 232)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class _Measures:
    """Pixels."""

    width: int  # of a picture
    height: int
    left: int  # beside the pictures, for the labels of rows
    top: int  # above them
    size: int  # of letters

    def whole(self, columns: int, rows: int) -> tuple[int, int]:
        return self.left + columns * (self.width + GAP) + GAP, self.top + rows * (self.height + GAP) + GAP


def draw(plan: Plan, pictures: Mapping[tuple[int, ...], NDArray[np.uint8]], page: int = 0) -> Image.Image:
    """A page of the grid: its third axis at one value.

    Args:
        pictures: (h, w, 3 or 4), by place; those that are missing stay empty.
    """
    columns, rows = plan.axes[0].values, plan.axes[1].values if len(plan.axes) > 1 else ()
    measures = _measured(plan, pictures.values())
    sheet = Image.new("RGB", measures.whole(len(columns), max(1, len(rows))), PAPER)
    pen = ImageDraw.Draw(sheet)
    font = _font(measures.size)
    title = plan.axes[0].title
    if len(plan.axes) > 1:
        title = f"{title}, down: {plan.axes[1].title}"
    if len(plan.axes) > 2:
        title = f"{plan.axes[2].title}: {plan.axes[2].values[page].label}. Across: {title}"
    _write(pen, title, (GAP, GAP // 2, sheet.width - GAP, 2 * measures.size), font, 1)
    for x, value in enumerate(columns):
        left = measures.left + GAP + x * (measures.width + GAP)
        box = (left, 2 * measures.size, left + measures.width, measures.top)
        _write(pen, value.label, box, font, LINES)
    for y in range(max(1, len(rows))):
        top = measures.top + GAP + y * (measures.height + GAP)
        if rows:
            _write(pen, rows[y].label, (GAP, top, measures.left, top + measures.height), font, 3 * LINES)
        for x in range(len(columns)):
            at = (x, y, page)[: len(plan.axes)] if len(plan.axes) > 1 else (x,)
            left = measures.left + GAP + x * (measures.width + GAP)
            _place(sheet, pen, pictures.get(at), (left, top), measures)
    return sheet


def save_grid(plan: Plan, pictures: dict[tuple[int, ...], NDArray[np.uint8]], beside: Path) -> list[Path]:
    """Writes the pages of a grid beside its last picture; where that fails the single pictures are there."""
    files = []
    info = PngImagePlugin.PngInfo()
    info.add_text("Description", f"Grid: {' × '.join(axis.title for axis in plan.axes)}")
    for page in range(pages(plan)):
        number = f"-{page + 1}" if pages(plan) > 1 else ""
        path = beside.with_name(f"{beside.stem[:120]}-grid{number}.png")
        part = path.with_name(f".{path.name}.part")
        try:
            draw(plan, pictures, page).save(part, "PNG", pnginfo=info)
            os.replace(part, path)
            files.append(path)
        except OSError as error:
            log.warning("The picture of the grid could not be saved: %s", error)
            part.unlink(missing_ok=True)
    return files


def smaller(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture as large as a grid shows it at most, (h, w, 3)."""
    picture = Image.fromarray(pixels[..., :3])
    picture.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def pages(plan: Plan) -> int:
    """How many pages a grid has."""
    return len(plan.axes[2].values) if len(plan.axes) > 2 else 1


def _place(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    pixels: NDArray[np.uint8] | None,
    corner: tuple[int, int],
    measures: _Measures,
) -> None:
    left, top = corner
    if pixels is None:
        pen.rectangle((left, top, left + measures.width - 1, top + measures.height - 1), fill=HOLE)
        return
    picture = Image.fromarray(pixels[..., :3])
    picture.thumbnail((measures.width, measures.height), Image.Resampling.LANCZOS)
    sheet.paste(
        picture,
        (left + (measures.width - picture.width) // 2, top + (measures.height - picture.height) // 2),
    )


def _measured(plan: Plan, pictures: Iterable[NDArray[np.uint8]]) -> _Measures:
    """The largest at which the whole stays within bounds."""
    sizes = [(cell.request.size) for cell in plan.cells]
    width, height = max(size[0] for size in sizes), max(size[1] for size in sizes)
    columns = len(plan.axes[0].values)
    rows = len(plan.axes[1].values) if len(plan.axes) > 1 else 1
    scale = min(1.0, CELL / max(width, height))
    while True:
        cell = (max(1, round(width * scale)), max(1, round(height * scale)))
        letters = min(28, max(12, min(cell) // 12))
        measures = _Measures(
            *cell, _left(plan, letters, cell[0]), _top(plan.axes[0], letters, cell[0]), letters
        )
        if max(measures.whole(columns, rows)) <= MOST_SIDE or min(cell) <= 16:
            return measures
        scale *= 0.9


def _left(plan: Plan, letters: int, width: int) -> int:
    if len(plan.axes) < 2:
        return 0
    font = _font(letters)
    longest = max(font.getlength(value.label) for value in plan.axes[1].values)
    return round(min(longest, max(width, 12 * letters))) + 2 * GAP


def _top(axis: Axis, letters: int, width: int) -> int:
    font = _font(letters)
    most = max(len(_wrapped(value.label, width, font, LINES)) for value in axis.values)
    return round((2 + 1.3 * most) * letters)


def _write(
    pen: ImageDraw.ImageDraw, text: str, box: tuple[int, int, int, int], font: Font, lines: int
) -> None:
    left, top, right, bottom = box
    size = round(1.3 * (font.size if isinstance(font, ImageFont.FreeTypeFont) else 12))
    for i, line in enumerate(_wrapped(text, right - left, font, lines)):
        if top + (i + 1) * size > bottom + size // 2:
            return
        pen.text((left, top + i * size), line, INK, font)


def _wrapped(text: str, width: int, font: Font, most: int) -> list[str]:
    """Lines that fit into a width; what is left of a long text is told by an ellipsis."""
    lines = [""]
    for word in text[:400].split() or [""]:
        for piece in _pieces(word, width, font):
            longer = f"{lines[-1]} {piece}".strip()
            if not lines[-1] or font.getlength(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(piece)
    if len(lines) > most:
        last = lines[most - 1]
        while last and font.getlength(f"{last}…") > width:
            last = last[:-1]
        lines = [*lines[: most - 1], f"{last}…"]
    return lines


def _pieces(word: str, width: int, font: Font) -> Sequence[str]:
    """A word, in parts where it is wider than a line."""
    if font.getlength(word) <= width:
        return [word]
    each = max(1, int(len(word) * width / max(font.getlength(word), 1)))
    return [word[i : i + each] for i in range(0, len(word), each)]


@functools.lru_cache(maxsize=8)
def _font(size: int) -> Font:
    """Pillow's own font; a system's where there is one that knows more letters."""
    for name in ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial.ttf", "arial.ttf"):
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)
