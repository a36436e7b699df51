"""What a family of models answers for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ldm_core.facts import Weights
from ldm_core.formats.config import Config, usual_defaults
from ldm_core.formats.renaming import Recipes, Tensors
from ldm_core.model_spec import ModelSpec
from ldm_core.spec import AutoencoderSpec, Defaults

if TYPE_CHECKING:
    from ldm_core.network.latent_diffusion import BuildDenoiser

MODEL, FIRST_STAGE = "model", "first stage"
Spec = ModelSpec | AutoencoderSpec


@dataclass(frozen=True, slots=True)
class Opened:
    """An open model.

    Attributes:
        tensors: by our names.
        tokenizers: for each text encoder, where its tokenizer may lie; the last is for all that follow.
    """

    tensors: Tensors
    config: Config
    tokenizers: tuple[tuple[Path, ...], ...]
    denoiser: BuildDenoiser | None = None  # see `Family`


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of models: how it is recognised, described and built.

    Attributes:
        name: in a word or two.
        recognise: a file's own tensors, shapes alone -> the variant's title as the index shows it; "" where
            the file is of another family.
        recipes: a file's own tensors, shapes alone -> how ours are made of them.
        describe: tensors under our names -> what no configuration says.  Shapes count, values only of small
            buffers.  Raises ConfigError where they do not tell.
        kind: "model" where it makes pictures, else "first stage".
        defaults: how its models are asked for a picture.
        denoiser: makes what stands under `model.diffusion_model`; None: the UNet.
        pipelines: classes of folders in the layout of diffusers -> title.
        open_folder: opens such a folder until the stack is closed; raises ModelError.
    """

    name: str
    recognise: Callable[[Weights], str]
    recipes: Callable[[Weights], Recipes]
    describe: Callable[[Weights], Spec]
    kind: str = MODEL
    defaults: Callable[[Spec], Defaults] = usual_defaults
    denoiser: BuildDenoiser | None = None
    pipelines: Mapping[str, str] = field(default_factory=dict)
    open_folder: Callable[[Path, ExitStack], Opened] | None = None
