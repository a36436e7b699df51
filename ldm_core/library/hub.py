"""Published models on the hub: what a repository offers, and fetching it into a folder of models."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

from ldm_core.errors import FetchError
from ldm_core.formats.folders import MAX_JSON, NOTED, PARTS, choose_weights
from ldm_core.library import civitai
from ldm_core.library.collection import SOURCE
from ldm_core.library.download import RemoteFile, Web, ask, download, require_room
from ldm_core.library.published_models import published
from ldm_core.wording import shown, size_text

HUB = "https://huggingface.co"
STAGING = ".fetching"  # below the folder of models; hidden, so half of a model is never listed
_CHECKPOINTS = (".safetensors", ".ckpt")
_LEAST = 1_000_000  # bytes of a checkpoint; smaller files of that kind are no models
_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_REFERENCE = re.compile(rf"({_WORD}/{_WORD})(?:@([A-Za-z0-9._-]{{1,100}}))?(?:/(.+))?")


@dataclass(frozen=True, slots=True)
class Offer:
    """What would be fetched.

    Attributes:
        name: what it would be called here.
        repository: "owner/name".
        revision: the commit, 40 hexadecimal digits, which everything is fetched from.
        endpoint: of the host that it is on; empty: the hub's.
        licence, licence_url: as the curated list or the repository says; empty where neither does.
    """

    name: str
    repository: str
    revision: str
    files: tuple[RemoteFile, ...]
    licence: str
    licence_url: str
    endpoint: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fetch is."""

    done: int  # bytes
    total: int
    seconds_left: float | None  # None while that cannot be told

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f" · {_duration(self.seconds_left)} left"
        return f"{size_text(self.done)} of {size_text(self.total)}{left}"


def endpoint() -> str:
    """The hub's address: `HF_ENDPOINT`, else the public one."""
    return os.environ.get("HF_ENDPOINT") or HUB


def look(reference: str, stop: threading.Event | None = None) -> Offer:
    """What there is under a curated name, "owner/name", "owner/name@revision", "owner/name/file" or an
    address of the hub's or Civitai's pages.

    Raises:
        FetchError: there is no such thing, it holds no model, or the hub cannot be asked.
    """
    if civitai.is_address(reference.strip()):
        return _on_civitai(reference.strip(), stop)
    text = _plain(reference.strip())
    known = next((model for model in published() if model.name == text), None)
    wanted = known.file if known else ""
    match = _REFERENCE.fullmatch(known.repository if known else text)
    if match is None or ".." in text:
        names = ", ".join(model.name for model in published())
        raise FetchError(
            f"{shown(text, 60)!r} is no model to fetch: give owner/name of the hub, or one of {names}."
        )
    repository, revision, file = match.groups()
    there = _contents(repository, revision or "main", stop)
    chosen = choose(there.files, file or wanted, repository)
    only = [f for f in chosen if f.path.endswith(_CHECKPOINTS)]
    name = (
        PurePosixPath(only[0].path).stem
        if len(only) == 1 and "/" not in only[0].path
        else repository.partition("/")[2]
    )
    if name in _NAMELESS:
        name = repository.partition("/")[2]
    licence, url = (known.licence, known.licence_url) if known else there.licence
    return Offer(known.name if known else name, repository, there.revision, chosen, licence, url)


# What many files are called, which says nothing of them.
_NAMELESS = ("model", "pytorch_lora_weights", "diffusion_pytorch_model", "adapter_model")
# Of a page, of a file's page and of the file itself.
_ADDRESS = re.compile(
    rf"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/({_WORD}/{_WORD})"
    r"(?:/(?:tree|blob|resolve|raw)/([A-Za-z0-9._-]{1,100})(?:/([^?#]*))?)?/?(?:[?#].*)?"
)


def _plain(reference: str) -> str:
    """An address of the hub -> "owner/name@revision/file"; all else as it is."""
    match = _ADDRESS.fullmatch(reference)
    if match is None:
        return reference
    repository, revision, path = match.groups()
    return repository + (f"@{revision}" if revision else "") + (f"/{unquote(path)}" if path else "")


def _on_civitai(reference: str, stop: threading.Event | None) -> Offer:
    title, version, file = civitai.look_there(reference, stop)
    name = PurePosixPath(file.path).stem
    licence = f"as the page of {shown(title, 60)} says"
    return Offer(
        name,
        "civitai",
        version,
        (file,),
        licence,
        f"{civitai.CIVITAI}/model-versions/{version}",
        civitai.endpoint(),
    )


def look_for(repository: str, paths: Sequence[str], name: str, stop: threading.Event | None = None) -> Offer:
    """These files of a repository, to be called `name` here.

    Raises:
        FetchError: one of them is not there, or the hub cannot be asked.
    """
    there = _contents(repository, "main", stop)
    by_path = {file.path: file for file in there.files}
    missing = [path for path in paths if path not in by_path]
    if missing:
        raise FetchError(f"{repository} has no file {missing[0]}.")
    return Offer(name, repository, there.revision, tuple(by_path[path] for path in paths), *there.licence)


def fetch(
    offer: Offer,
    folder: Path,
    on_progress: Callable[[Progress], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> Path:
    """Puts an offer's files into a folder of its own below `folder`, and returns that.

    What came before a stop or fault is kept, and the next fetch of the same revision goes on from there.

    Raises:
        FetchError: the network, the hub or the disk; nothing but complete files is ever listed as a model.
    """
    target = folder / offer.name
    if _is_there(target, offer):
        return target
    staging = folder / STAGING / f"{offer.repository.replace('/', '--')}@{offer.revision[:12]}"
    missing = [file for file in offer.files if not (staging / file.path).is_file()]
    done = offer.size - sum(file.size for file in missing)
    parts = (staging / f"{file.path}.part" for file in missing)
    require_room(folder, offer.size - done - sum(part.stat().st_size for part in parts if part.exists()))
    pace = _Pace(offer.size)
    with civitai.web(stop) if offer.endpoint else _web(stop) as web:
        for file in missing:
            path = file.address or f"/{offer.repository}/resolve/{offer.revision}/{quote(file.path)}"
            download(web, path, file, staging / file.path, partial(_tell, on_progress, pace, done))
            done += file.size
    _write_source(staging, offer)
    return _move(staging, target)


def _tell(on_progress: Callable[[Progress], None], pace: _Pace, before: int, of_file: int) -> None:
    on_progress(pace(before + of_file))


def choose(files: Sequence[RemoteFile], wanted: str, repository: str) -> tuple[RemoteFile, ...]:
    """The files that make up one model of a repository: the wanted one, else its only or its main one.

    Raises:
        FetchError: it has no such file, no model, or several.
    """
    by_path = {file.path: file for file in files}
    if wanted:
        if wanted not in by_path:
            raise FetchError(
                f"{repository} has no file {shown(wanted)}; look at its page for the right name."
            )
        return _with_notes(by_path, wanted)
    at_top = [
        f.path for f in files if "/" not in f.path and f.path.endswith(_CHECKPOINTS) and f.size >= _LEAST
    ]
    safe = [path for path in at_top if path.endswith(".safetensors")]
    alone = _only_model(safe or at_top)
    if alone:
        return _with_notes(by_path, alone)
    if "model_index.json" in by_path:
        return _pipeline(by_path)
    if at_top:
        some = ", ".join(shown(path) for path in at_top[:8])
        raise FetchError(
            f"{repository} has several models: {some}. Give one, as {repository}/{shown(at_top[0])}."
        )
    raise FetchError(f"{repository} holds no latent diffusion model in a form that is known here.")


_HALF = re.compile(r"[-_.](fp16|bf16|half|f16)(?=\.)")
_WHOLE = re.compile(r"[-_.](fp32|f32|full)(?=\.)")


def _only_model(paths: Sequence[str]) -> str:
    """The only checkpoint, or where there is one in several precisions, that of half; else ""."""
    if len({_WHOLE.sub("", _HALF.sub("", path)) for path in paths}) != 1:
        return ""
    return next((path for path in paths if _HALF.search(path)), paths[0])


def _with_notes(by_path: dict[str, RemoteFile], path: str) -> tuple[RemoteFile, ...]:
    """A checkpoint and what describes it."""
    folder = PurePosixPath(path).parent
    notes = (str(folder / name) for name in (f"{PurePosixPath(path).stem}.yaml", "config.yaml", "vocab.txt"))
    return (by_path[path], *(by_path[note] for note in notes if note in by_path))


def _pipeline(by_path: dict[str, RemoteFile]) -> tuple[RemoteFile, ...]:
    """A folder in the layout of diffusers: the JSON, texts and weights of the parts that count here."""
    chosen = [by_path["model_index.json"]]
    for part in (*PARTS, *NOTED):
        inside = {
            path.partition("/")[2]: file for path, file in by_path.items() if path.startswith(f"{part}/")
        }
        chosen += [
            file
            for name, file in inside.items()
            if name.endswith((".json", ".txt")) and file.size < MAX_JSON * 10
        ]
        chosen += [inside[name] for name in choose_weights(inside)]
    return tuple(chosen)


# Asking --------------------------------------------------------------------------------------------------


def _web(stop: threading.Event | None) -> Web:
    return Web(endpoint(), os.environ.get("HF_TOKEN", ""), stop)


@dataclass(frozen=True, slots=True)
class _Contents:
    """What lies in a repository at a revision; `licence`: its name and the address of its text."""

    revision: str
    files: list[RemoteFile]
    licence: tuple[str, str]


def _contents(repository: str, revision: str, stop: threading.Event | None) -> _Contents:
    with _web(stop) as web:
        answer = ask(web, f"/api/models/{repository}/revision/{revision}?blobs=true", repository)
    commit, files = str(answer.get("sha")), _files(answer.get("siblings"), repository)
    if not re.fullmatch("[0-9a-f]{40}", commit):
        raise FetchError(f"The hub's answer on {repository} names no revision; try again later.")
    return _Contents(commit, files, _licence(answer.get("cardData")))


def _files(siblings: object, repository: str) -> list[RemoteFile]:
    """The files of the hub's answer.

    Raises:
        FetchError: one has a name that would lead out of its folder, or the list is damaged.
    """
    found = []
    for row in siblings if isinstance(siblings, list) else ():
        path, size, blob = (
            (row.get(key) for key in ("rfilename", "size", "blobId")) if isinstance(row, dict) else (0, 0, 0)
        )
        lfs = row.get("lfs") if isinstance(row, dict) else None
        sha256 = lfs.get("sha256", "") if isinstance(lfs, dict) else ""
        if not isinstance(path, str) or type(size) is not int or size < 0:
            continue  # no model's file; what is missed is missed by name
        parts = path.split("/")
        if not path.isprintable() or any(p in ("", ".", "..") or "\\" in p or ":" in p for p in parts):
            raise FetchError(f"{repository} has a file with the unsafe name {shown(path)!r}; do not use it.")
        right = (re.fullmatch("[0-9a-f]{64}", str(sha256)), re.fullmatch("[0-9a-f]{40}", str(blob)))
        if right[0] or right[1]:
            found.append(RemoteFile(path, size, str(sha256) if right[0] else "", str(blob)))
    return found


def _licence(card: object) -> tuple[str, str]:
    """(licence, address of its text), as the repository's card says."""
    fields = card if isinstance(card, dict) else {}
    named = [fields.get(key) for key in ("license_name", "license")]
    texts = [shown(text, 100) for text in named if isinstance(text, str) and text != "other"]
    link = fields.get("license_link")
    is_address = isinstance(link, str) and re.fullmatch(r"https://[!-~]{1,300}", link)
    return texts[0] if texts else "", str(link) if is_address else ""


# Keeping -------------------------------------------------------------------------------------------------


def _write_source(folder: Path, offer: Offer) -> None:
    """Where the files came from, beside them."""
    note = {
        "source": f"{offer.repository}@{offer.revision}",
        "licence": offer.licence,
        "licence_url": offer.licence_url,
        "files": {file.path: file.sha256 or file.blob for file in offer.files},
    }
    try:
        (folder / SOURCE).write_text(json.dumps(note, indent=1), "utf-8")
    except OSError as error:
        raise FetchError(f"{SOURCE} cannot be written: {error.strerror}.") from None


def _is_there(target: Path, offer: Offer) -> bool:
    with suppress(OSError, ValueError):
        note = json.loads((target / SOURCE).read_text("utf-8"))
        same = isinstance(note, dict) and note.get("source") == f"{offer.repository}@{offer.revision}"
        return same and all((target / file.path).is_file() for file in offer.files)
    return False


def _move(staging: Path, target: Path) -> Path:
    """Gives a complete folder its name; where another thing has it, a numbered one."""
    number = 1
    name = target.name
    try:
        while target.exists():
            number += 1
            target = target.with_name(f"{name} {number}")
        os.replace(staging, target)
        with suppress(OSError):
            staging.parent.rmdir()  # where no other fetch is unfinished
    except OSError as error:
        raise FetchError(f"The folder {shown(target.name)} cannot be made: {error.strerror}.") from None
    return target


class _Pace:
    """Seconds left, by the bytes of the last ten seconds."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._seen: list[tuple[float, int]] = []

    def __call__(self, done: int) -> Progress:
        now = time.monotonic()
        self._seen = [*(seen for seen in self._seen if now - seen[0] < 10), (now, done)]
        seconds, came = now - self._seen[0][0], done - self._seen[0][1]
        left = (self._total - done) * seconds / came if seconds > 0.5 and came > 0 else None
        return Progress(done, self._total, left)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
