"""Tokenizers that a model came without: fetched once from the hub, then kept on this computer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ldm_core.errors import FetchError
from ldm_core.library.hub import fetch, look_for
from ldm_core.spec import ClipSpec, TextSpec

Report = Callable[[str], None]  # takes how far a fetch is, in words


@dataclass(frozen=True, slots=True)
class _Published:
    name: str
    repository: str
    files: tuple[str, ...]


_CLIP = _Published("CLIP", "openai/clip-vit-large-patch14", ("vocab.json", "merges.txt"))
_BERT = _Published("BERT", "google-bert/bert-base-uncased", ("vocab.txt",))


def tokenizer_folder(text: TextSpec | ClipSpec, kept: Path, report: Report) -> Path | None:
    """The folder with a published text encoder's tokenizer; None where it was trained with one of its own.

    Args:
        kept: below which fetched tokenizers lie.

    Raises:
        FetchError: it is not there, and cannot be fetched.
    """
    wanted = _published(text)
    if wanted is None:
        return None
    folder = kept / wanted.name
    if all((folder / name).is_file() for name in wanted.files):
        return folder
    try:
        report(f"Fetching {wanted.name}'s tokenizer…")
        offer = look_for(wanted.repository, wanted.files, wanted.name)
        return fetch(offer, kept, lambda progress: report(f"Fetching {wanted.name}'s tokenizer, {progress}"))
    except FetchError as error:
        raise FetchError(
            f"This model came without its tokenizer, and {wanted.name}'s could not be fetched. {error} "
            f"Or put {' and '.join(wanted.files)} beside the model's file."
        ) from None


def _published(text: TextSpec | ClipSpec) -> _Published | None:
    """By the number of its tokens."""
    if isinstance(text, TextSpec):
        return _BERT if text.vocab_size == 30_522 else None
    return _CLIP if all(tower.vocab_size == 49_408 for tower in text.towers) else None
