"""The grids under way: their pictures are collected as they are saved, and drawn as one beside them."""

from __future__ import annotations

import io
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.grids.legend import draw, pages, save_grid, smaller
from app.grids.plan import Plan
from ldm_core.request import Request

KEPT = 6  # grids that can still be looked at


@dataclass(slots=True, eq=False)
class Board:
    """A grid and the pictures that it has so far."""

    plan: Plan
    pictures: dict[tuple[int, ...], NDArray[np.uint8]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return len(self.pictures) == len(self.plan.cells)

    def place_of(self, request: Request) -> tuple[int, ...] | None:
        """Where a picture belongs that is not there yet."""
        missing = (cell for cell in self.plan.cells if cell.at not in self.pictures)
        return next((cell.at for cell in missing if cell.request == request), None)


class Grids:
    """The newest grids, by a token that only the page knows which asked for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._boards: OrderedDict[str, Board] = OrderedDict()
        self._paces: dict[str, float] = {}  # of a model: seconds for a step and a pixel
        self._since = time.monotonic()  # when a job was asked for, or its last picture was saved

    def begin(self, token: str, plan: Plan) -> None:
        """From now on its pictures are collected."""
        with self._lock:
            before = self._boards.pop(token, None)
            same = before is not None and before.plan.requests == plan.requests
            self._boards[token] = before if same and before is not None else Board(plan)
            while len(self._boards) > KEPT:
                self._boards.popitem(last=False)

    def asked(self) -> None:
        """A person wants pictures from now on."""
        self._since = time.monotonic()

    def seconds(self, request: Request) -> float | None:
        """About how long such a picture takes; None where nothing is known."""
        pace = self._paces.get(request.model)
        return None if pace is None else pace * _work(request)

    def saved(self, path: Path, png: bytes, request: Request) -> None:
        """A picture was saved; where it completes a grid, that is drawn and saved beside it."""
        now = time.monotonic()
        self._paces[request.model] = (now - self._since) / _work(request)
        self._since = now
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

    def progress(self, token: str) -> tuple[int, int, int] | None:
        """Pictures so far, pictures in all, pages; None where there is no such grid."""
        with self._lock:
            board = self._boards.get(token)
            if board is None:
                return None
            return len(board.pictures), len(board.plan.cells), pages(board.plan)

    def drawn(self, token: str, page: int) -> bytes | None:
        """A page of a grid as it is now, as a JPEG."""
        with self._lock:
            board = self._boards.get(token)
            if board is None or not 0 <= page < pages(board.plan):
                return None
            plan, pictures = board.plan, dict(board.pictures)
        file = io.BytesIO()
        draw(plan, pictures, page).save(file, "JPEG", quality=85)
        return file.getvalue()


def outlook(plan: Plan, grids: Grids) -> str:
    """How many pictures it has, and about how long they take."""
    known: Sequence[float | None] = [grids.seconds(cell.request) for cell in plan.cells]
    total = [seconds for seconds in known if seconds is not None]
    return plan.outlook(sum(total) / len(total) if len(total) == len(known) else None)


def _work(request: Request) -> float:
    width, height = request.size
    return max(1, request.num_steps(request.steps)) * width * height


def _pixels(png: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as picture:
        return smaller(np.asarray(picture.convert("RGB")))
