"""The embeddings in the folders of models, read when a prompt names them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ldm_core.conditioners.embeddings import Embedding
from ldm_core.library.collection import WEIGHTS_SUFFIXES
from ldm_core.library.index import Entry
from ldm_core.request.extensions import EMBEDDING
from ldm_core.spec import ClipTower

if TYPE_CHECKING:
    from ldm_core.formats.embedding_files import EmbeddingFile

MOST_READ = 64


class LibraryEmbeddings:
    """As `Embeddings`.  Safe to use from several threads.

    Args:
        entries: all that lies in the folders now.
    """

    def __init__(self, entries: Callable[[], Sequence[Entry]]) -> None:
        self._entries = entries
        self._lock = threading.Lock()
        self._read: OrderedDict[tuple[Path, int], EmbeddingFile] = OrderedDict()

    def entries(self) -> list[Entry]:
        return [entry for entry in self._entries() if entry.kind == EMBEDDING and not entry.problem]

    def names(self) -> list[str]:
        return [entry.name for entry in self.entries()]

    def has(self, name: str) -> bool:
        """Whether there is one of that name, of whichever model."""
        return any(_key(entry.name) == _key(name) for entry in self.entries())

    def find(self, name: str, towers: Sequence[ClipTower]) -> Embedding | None:
        wanted = _key(name)
        entry = next((entry for entry in self.entries() if _key(entry.name) == wanted), None)
        return None if entry is None else self._file(entry).fitting(towers)

    def _file(self, entry: Entry) -> EmbeddingFile:
        from ldm_core.formats.embedding_files import read_embedding

        key = entry.path, entry.path.stat().st_mtime_ns if entry.path.exists() else 0
        with self._lock:
            if key not in self._read:
                self._read[key] = read_embedding(entry.path, entry.name)
                if len(self._read) > MOST_READ:
                    self._read.popitem(last=False)
            self._read.move_to_end(key)
            return self._read[key]


def _key(name: str) -> str:
    """Without folders and ending, as other programs write them too."""
    path = PurePosixPath(name.replace("\\", "/"))
    stem = path.name.removesuffix(path.suffix) if path.suffix.lower() in WEIGHTS_SUFFIXES else path.name
    return stem.casefold()
