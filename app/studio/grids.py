"""The grids under way: their pictures are collected as they are saved, and drawn as one beside them."""

from __future__ import annotations

import io
import threading
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.grids.legend import draw, pages, save_grid, smaller
from app.grids.plan import Plan
from app.keeping.outgoing import without_facts
from app.studio.frames import in_words
from app.studio.paces import Paces
from ldm_core.request import Request

KEPT = 6  # grids that can still be looked at


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a grid is.

    Attributes:
        id: names it in the routes that show it; a secret of those who see it.
        pages: pictures that show the whole, one for each value of the third axis.
    """

    id: str
    done: int
    count: int
    pages: int


@dataclass(slots=True, eq=False)
class Board:
    """A grid and the pictures that it has so far.

    Attributes:
        requests: one for each cell of the plan, as they are made.
    """

    plan: Plan
    requests: tuple[Request, ...]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    pictures: dict[tuple[int, ...], NDArray[np.uint8]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return len(self.pictures) == len(self.plan.cells)

    def place_of(self, request: Request) -> tuple[int, ...] | None:
        """Where a picture belongs that is not there yet."""
        cells = zip(self.plan.cells, self.requests, strict=True)
        missing = (cell.at for cell, asked in cells if asked == request and cell.at not in self.pictures)
        return next(missing, None)


class Grids:
    """The newest grids.

    Args:
        facts: whether what photographs say of themselves is kept in requests.
    """

    def __init__(self, *, facts: bool) -> None:
        self._facts = facts
        self._lock = threading.Lock()
        self._boards: OrderedDict[str, Board] = OrderedDict()

    def begin(self, plan: Plan) -> None:
        """From now on its pictures are collected."""
        requests = [each if self._facts else without_facts(each) for each in plan.requests]
        with self._lock:
            board = self._of(requests) or Board(plan, tuple(requests))
            self._boards[board.id] = board
            self._boards.move_to_end(board.id)
            while len(self._boards) > KEPT:
                self._boards.popitem(last=False)

    def saved(self, path: Path, png: bytes, request: Request) -> None:
        """A picture was saved; where it completes a grid, that is drawn and saved beside it."""
        done: list[Board] = []
        with self._lock:
            for board in self._boards.values():
                at = board.place_of(request)
                if at is None:
                    continue
                board.pictures[at] = _pixels(png)
                if board.is_complete:
                    done.append(board)
        for board in done:
            board.files = save_grid(board.plan, board.pictures, path)

    def progress(self, requests: Sequence[Request]) -> Progress | None:
        """How far the grid of these requests is; None where they are none."""
        with self._lock:
            board = self._of(requests)
            if board is None:
                return None
            return Progress(board.id, len(board.pictures), len(board.plan.cells), pages(board.plan))

    def drawn(self, id: str, page: int) -> bytes | None:
        """A page of a grid as it is now, as a JPEG."""
        with self._lock:
            board = self._boards.get(id)
            if board is None or not 0 <= page < pages(board.plan):
                return None
            plan, pictures = board.plan, dict(board.pictures)
        file = io.BytesIO()
        draw(plan, pictures, page).save(file, "JPEG", quality=85)
        return file.getvalue()

    def _of(self, requests: Sequence[Request]) -> Board | None:
        wanted = tuple(requests)
        return next((board for board in self._boards.values() if board.requests == wanted), None)


def outlook(plan: Plan, paces: Paces) -> str:
    """How many pictures it has, and about how long they take, or that nobody knows that yet."""
    each = [paces.seconds(request) for request in plan.requests]
    known = [seconds for seconds in each if seconds is not None]
    if len(known) == len(each):
        return f"{plan.extent}, about {in_words(sum(known))}."
    unknown = dict.fromkeys(
        request.model for request, seconds in zip(plan.requests, each, strict=True) if seconds is None
    )
    return (
        f"{plan.extent}. How long they take is not known yet: nothing was made with "
        f"{' and '.join(unknown)} since the program started."
    )


def _pixels(png: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as picture:
        return smaller(np.asarray(picture.convert("RGB")))
