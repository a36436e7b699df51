"""Tokenizers that a model came without: fetched once from the hub, then kept on this computer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ldm_core.conditioners import Conditioner
from ldm_core.errors import FetchError
from ldm_core.library.hub import fetch, look_for

Report = Callable[[str], None]  # takes how far a fetch is, in words


@dataclass(frozen=True, slots=True)
class _Published:
    name: str
    repository: str
    files: tuple[str, ...]


_PUBLISHED = {
    "CLIP": _Published("CLIP", "openai/clip-vit-large-patch14", ("vocab.json", "merges.txt")),
    "BERT": _Published("BERT", "google-bert/bert-base-uncased", ("vocab.txt",)),
}


def kept_tokenizer(conditioner: Conditioner, kept: Path) -> Path | None:
    """The folder with a published text encoder's tokenizer where it was fetched before."""
    wanted = _PUBLISHED.get(conditioner.published_tokenizer)
    if wanted is None or not all((kept / wanted.name / name).is_file() for name in wanted.files):
        return None
    return kept / wanted.name


def tokenizer_folder(conditioner: Conditioner, kept: Path, report: Report) -> Path | None:
    """The folder with a published text encoder's tokenizer; None where it was trained with one of its own.

    Args:
        kept: below which fetched tokenizers lie.

    Raises:
        FetchError: it is not there, and cannot be fetched.
    """
    wanted = _PUBLISHED.get(conditioner.published_tokenizer)
    if wanted is None:
        return None
    if (folder := kept_tokenizer(conditioner, kept)) is not None:
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
