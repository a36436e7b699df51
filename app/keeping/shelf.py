"""Putting models into our own folder and taking them out again: for the owner of this computer alone.

Imports neither gradio nor torch.
"""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

from app.keeping.places import own_models
from ldm_core.errors import AtelierError, FetchError, FileError, ModelNotFound
from ldm_core.library.collection import SOURCE, printable
from ldm_core.library.download import require_room
from ldm_core.library.hub import Offer, Progress, fetch
from ldm_core.library.index import Entry
from ldm_core.library.models import ModelLibrary

# What a folder of a model may hold; programs stay where they are.
_NEVER = ("*.py", "*.pyc", "__pycache__", ".*", "*.part")


@dataclass(slots=True)
class Fetching:
    """A fetch in its thread.  `error` is None while it runs and where it went well."""

    offer: Offer
    progress: Progress
    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    error: AtelierError | None = None


class Shelf:
    """The models in our own folder.

    Args:
        models: the library to tell of changes.
        folder: ours; nothing outside of it is ever changed.
    """

    def __init__(self, models: ModelLibrary, folder: Path | None = None) -> None:
        self.models = models
        self.folder = (folder or own_models()).absolute()
        self.fetching: Fetching | None = None
        self._lock = threading.Lock()

    def add(self, source: Path, *, link: bool = False) -> str:
        """Copies or links a file or folder into ours; returns the name of the model.

        Raises:
            AtelierError: it is no model, there is no room, or the name is taken.
        """
        from ldm_core.formats.family import MODEL
        from ldm_core.formats.identify import SEGMENTATION, identify
        from ldm_core.request.extensions import ADAPTER, CONTROL

        source = source.expanduser().absolute()
        identity = identify(source)
        extends = identity.kind in (ADAPTER, CONTROL) and not identity.problem
        if identity.kind not in (MODEL, SEGMENTATION) and not extends:
            raise FileError(identity.problem or f"{printable(source.name)} is no model.")
        target = self.folder / source.name
        if target.exists() or target.is_symlink():
            raise FileError(
                f"There is a {printable(source.name)} in {self.folder.name}/ already; remove that first."
            )
        notes = [] if source.is_dir() else [n for n in (source.with_suffix(".yaml"),) if n.is_file()]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for file in (*notes, source):
                _link(file, self.folder / file.name) if link else _copy(file, self.folder / file.name)
        except OSError as error:
            raise FileError(f"{printable(source.name)} cannot be added: {error.strerror}.") from None
        return self._name_of(target)

    def remove(self, entry: Entry) -> None:
        """Deletes a model that lies in our own folder; of a link the link alone.

        Raises:
            FileError: it lies elsewhere, or cannot be deleted.
        """
        if not self.owns(entry):
            raise FileError(
                f"{entry.name} does not lie in {self.folder.name}/ itself; delete it where it lies."
            )
        others = [other.path for other in self.models.entries() if other.path != entry.path]
        try:
            _delete(entry.path, others)
            box = entry.path.parent
            if (
                box != self.folder
                and (box / SOURCE).is_file()
                and not any(p.is_relative_to(box) for p in others)
            ):
                shutil.rmtree(box)  # what was fetched along with it
        except OSError as error:
            raise FileError(f"{entry.name} cannot be removed: {error.strerror}.") from None
        self.models.scan()

    def owns(self, entry: Entry) -> bool:
        """Whether a model lies in our own folder, and not only behind a link in it."""
        inside = entry.path.absolute().is_relative_to(self.folder) and entry.path.absolute() != self.folder
        return inside and entry.path.parent.resolve().is_relative_to(self.folder.resolve())

    # Fetching ---------------------------------------------------------------------------------------------

    def start(self, offer: Offer) -> Fetching:
        """Begins to fetch what a hub offers, in a thread of its own.

        Raises:
            FetchError: another fetch is running.
        """
        with self._lock:
            if self.fetching is not None and not self.fetching.ended.is_set():
                raise FetchError(f"{self.fetching.offer.name} is being fetched; stop that first.")
            self.fetching = fetching = Fetching(offer, Progress(0, offer.size, None))
        threading.Thread(target=self._fetch, args=[fetching], name="fetch", daemon=True).start()
        return fetching

    def _fetch(self, fetching: Fetching) -> None:
        def tell(progress: Progress) -> None:
            fetching.progress = progress

        try:
            fetch(fetching.offer, self.folder, tell, fetching.stop)
            self.models.scan()
        except AtelierError as error:
            fetching.error = error
        except Exception as error:  # told at the page; the thread has nobody else
            fetching.error = FetchError(f"The fetch met an unexpected fault ({type(error).__name__}).")
            raise
        finally:
            fetching.ended.set()

    def close(self) -> None:
        """Stops a running fetch; what has come is kept."""
        if self.fetching is not None:
            self.fetching.stop.set()

    def _name_of(self, path: Path) -> str:
        self.models.scan()
        for entry in self.models.entries():
            if entry.path == path or entry.path.parent == path:
                return entry.name
        raise ModelNotFound(f"{printable(path.name)} was added, but is not found; look into the folder.")


def _copy(source: Path, target: Path) -> None:
    """Copies under another name first, so that half of a model never looks like one."""
    files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
    require_room(target.parent, sum(path.stat().st_size for path in files))
    part = target.with_name(f".{target.name}.part")
    try:
        if source.is_dir():
            shutil.copytree(source, part, ignore=shutil.ignore_patterns(*_NEVER))
        else:
            shutil.copyfile(source, part)
        os.replace(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source, target_is_directory=source.is_dir())
    except OSError:
        if source.is_dir():
            raise
        os.link(source, target)  # Windows lets only administrators make symbolic links


def _delete(path: Path, others: list[Path]) -> None:
    """Deletes a file with its description, or a folder as far as no other model lies in it."""
    if path.is_symlink() or path.is_file():
        path.unlink()
        description = path.with_suffix(".yaml")
        if not any(other.with_suffix(".yaml") == description for other in others):
            description.unlink(missing_ok=True)
    elif any(other.is_relative_to(path) for other in others):
        for name in ("model.safetensors", "config.yaml", "vocab.txt", SOURCE):
            (path / name).unlink(missing_ok=True)
    else:
        shutil.rmtree(path)
