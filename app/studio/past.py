"""Pictures that were made some time ago, as the pages take them."""

from __future__ import annotations

import threading
from collections import OrderedDict

from app.keeping import metadata
from app.keeping.history import Entry, History
from app.keeping.history.facts import read_regular
from app.studio.frames import SHOWN_SIDE, Finished, copy_of
from ldm_core.errors import AtelierError
from ldm_core.pictures.reading import read_picture

KEPT = 6  # pictures in memory


class Past:
    """Reads pictures of the history, and keeps those that were looked at last."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, str], Finished] = OrderedDict()

    def find(self, person: str, id: str) -> Finished | None:
        """A person's picture; None where there is none, or it has no settings that are understood."""
        if not (id.isascii() and id.isdigit() and len(id) < 19):
            return None
        try:
            entry = self._history.get(int(id), person)
            return None if entry is None else self._read(entry)
        except AtelierError:
            return None

    def _read(self, entry: Entry) -> Finished:
        key = entry.id, entry.digest
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        picture = self._finished(entry)
        with self._lock:
            self._kept[key] = picture
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return picture

    def _finished(self, entry: Entry) -> Finished:
        path = self._history.file(entry)
        data, _ = read_regular(path)
        settings = metadata.read_settings(data)
        copy = None
        if not entry.path.lower().endswith(".png"):
            data = metadata.encode_png(read_picture(data).rgba, settings.request, settings.model_sha256)
        if max(entry.width, entry.height) > SHOWN_SIDE:
            copy = copy_of(read_picture(data).rgba)
        return Finished(
            str(entry.id), data, entry.name, path, "", "", settings.request, copy=copy, url=entry.url
        )
