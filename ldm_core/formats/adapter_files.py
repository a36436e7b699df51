"""Files of adapters: what is in them, and what of a model it changes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ldm_core.errors import WeightsError
from ldm_core.formats.adapter_names import spellings
from ldm_core.formats.reading import Checkpoint
from ldm_core.model_spec import ModelSpec
from ldm_core.network.adapters import KINDS, Adapter, AdapterKind, ModulePatch

MAX_UNMATCHED = 12  # modules without a place, beyond which a file is taken for one of another family
MAX_ALPHA = 100_000.0
BUNDLED = "bundle_emb."  # before the tensors of embeddings that come with an adapter
PEFT = "lora_adapter_metadata"  # what diffusers calls PEFT's configuration in a file

_ENDINGS = {ending: part for kind in KINDS for ending, part in kind.endings.items()}
_BY_LENGTH = sorted(_ENDINGS, key=len, reverse=True)
_TELLING = tuple(set(_ENDINGS) - {".weight", ".bias", ".alpha"})  # no other kind of file has these
_PARTS = ("lora_unet_", "lora_te", "lycoris_")


@dataclass(frozen=True, slots=True)
class Stem:
    """The tensors of one module in a file: part -> key."""

    kind: AdapterKind | None  # None: none that is known
    keys: Mapping[str, str]


def stems(names: Iterable[str]) -> dict[str, Stem]:
    """What stands before the endings of adapters' tensors."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        key = name.replace(".processor.", ".")
        ending = next((end for end in _BY_LENGTH if key.endswith(end)), None)
        if ending is not None:
            found.setdefault(key.removesuffix(ending), {})[_ENDINGS[ending]] = name
    return {stem: Stem(_kind(keys.keys()), keys) for stem, keys in found.items()}


def is_adapter(names: Iterable[str]) -> bool:
    """Whether a file is an adapter, of a known kind or not, by the names of its tensors."""
    return any(name.endswith(_TELLING) or any(part in name for part in _PARTS) for name in names)


def _kind(parts: Iterable[str]) -> AdapterKind | None:
    there = set(parts)
    return next((kind for kind in KINDS if kind.needs <= there <= set(kind.endings.values())), None)


def read_adapter(path: Path, name: str, model: nn.Module, spec: ModelSpec) -> tuple[Adapter, tuple[str, ...]]:
    """An adapter for a model, and the modules of the file that have no place in it.

    Raises:
        ModelFileError: the file cannot be read or is not safe to read.
        WeightsError: it is no adapter of a known kind, is incomplete, or made for another family of models.
    """
    with Checkpoint(path) as file:
        if problem := adapter_problem(file.shapes):
            raise WeightsError(f"The adapter {name} cannot be used. {problem}")
        found = stems(key for key in file.shapes if not key.startswith(BUNDLED))
        modules = (
            place for place, module in model.named_modules() if module._parameters.get("weight") is not None
        )
        table = spellings(modules, spec)
        unmatched = tuple(stem for stem in found if stem not in table)
        if len(unmatched) == len(found) or len(unmatched) > MAX_UNMATCHED:
            raise WeightsError(
                f"The adapter {name} was made for a model of another family: {len(unmatched)} of its "
                f"{len(found)} parts have no place in this one, as {unmatched[0]}. Choose its own model."
            )
        matched = {stem: parts for stem, parts in found.items() if stem in table}
        tensors = dict(file.read([key for parts in matched.values() for key in parts.keys.values()]))
        _require_sane(name, matched, tensors)
        alphas = _peft_alphas(file.metadata, matched, tensors)
        words = {key.split(".")[1] for key in file.shapes if key.startswith(BUNDLED)}
    patches = tuple(
        ModulePatch(
            table[stem],
            parts.kind,
            {part: tensors[key] for part, key in parts.keys.items()} | alphas.get(stem, {}),
        )
        for stem, parts in matched.items()
        if parts.kind is not None
    )
    return Adapter(name, patches), (*unmatched, *(f"the embedding {word}" for word in sorted(words)))


def _require_sane(name: str, found: Mapping[str, Stem], tensors: Mapping[str, Tensor]) -> None:
    """
    Raises:
        WeightsError: an alpha is far beyond any that training gives, and would make noise of every picture.
    """
    for stem, parts in found.items():
        alpha = tensors[parts.keys["alpha"]] if "alpha" in parts.keys else torch.tensor(0.0)
        if alpha.numel() != 1 or abs(float(alpha)) > MAX_ALPHA:
            said = f"{float(alpha):g}" if alpha.numel() == 1 else f"{alpha.numel()} numbers"
            raise WeightsError(
                f"The adapter {name} cannot be used: alpha of {stem} is {said}, which no training gives, so "
                "the file is damaged; download it again."
            )


def adapter_problem(names: Iterable[str]) -> str:
    """Why a file of adapters cannot be used, as a sentence; empty where it can."""
    names = tuple(name for name in names if not name.startswith(BUNDLED))
    found = stems(names)
    known = {key for parts in found.values() for key in parts.keys.values()}
    strange = sorted(set(names) - known)
    partial = [f"{stem} ({', '.join(parts.keys)})" for stem, parts in found.items() if parts.kind is None]
    which = next(iter((*strange, *partial)), "" if found else "no tensors of one")
    if not which:
        return ""
    kinds = ", ".join(dict.fromkeys(kind.title for kind in KINDS))
    return f"It is an adapter of a kind that is not known here, or incomplete, at {which}. Known: {kinds}."


def _peft_alphas(
    metadata: Mapping[str, str], found: Mapping[str, Stem], tensors: Mapping[str, Tensor]
) -> dict[str, dict[str, Tensor]]:
    """alpha of the modules, which PEFT writes beside the tensors, such that alpha / rank is the scale."""
    try:
        config = json.loads(metadata.get(PEFT, "{}"))
    except (ValueError, RecursionError):
        config = {}
    if not isinstance(config, dict) or not config:
        return {}
    return {
        stem: {"alpha": torch.tensor(alpha)}
        for stem, parts in found.items()
        if "alpha" not in parts.keys and "down" in parts.keys
        for alpha in _alpha(config, stem, tensors[parts.keys["down"]].shape[0])
    }


def _alpha(config: Mapping[str, object], stem: str, rank: int) -> Iterator[float]:
    """Of a module, where the configuration gives one.  Keys are the model part's, a dot, PEFT's name."""
    part, _, module = stem.partition(".")
    patterns, alpha = config.get(f"{part}.alpha_pattern"), config.get(f"{part}.lora_alpha")
    if isinstance(patterns, dict):
        fitting = (value for name, value in patterns.items() if f".{module}".endswith(f".{name}"))
        alpha = next(fitting, alpha)
    if isinstance(alpha, int | float) and not isinstance(alpha, bool):
        yield float(alpha) * (rank**0.5 if config.get(f"{part}.use_rslora") is True else 1.0)
