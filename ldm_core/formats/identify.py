"""What a file or folder of somebody's collection is, usable or not, told from headers alone."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from ldm_core.errors import AtelierError
from ldm_core.formats import segmentation_folders as segmentation
from ldm_core.formats.adapter_files import adapter_problem, is_adapter
from ldm_core.formats.config import Config
from ldm_core.formats.control_files import control_problem, is_control
from ldm_core.formats.embedding_files import is_embedding, read_embedding
from ldm_core.formats.families import family_of, family_of_folder
from ldm_core.formats.family import FIRST_STAGE, MODEL
from ldm_core.formats.folders import pieces_of, weights_of
from ldm_core.formats.loading import left_aside, require_loadable
from ldm_core.formats.opening import open_model
from ldm_core.formats.reading import read_shapes
from ldm_core.formats.unet_alone import is_unet_alone
from ldm_core.model_spec import ModelSpec
from ldm_core.request.extensions import ADAPTER, CONTROL, EMBEDDING
from ldm_core.spec import AutoencoderSpec
from ldm_core.wording import shown

Shapes = dict[str, torch.Tensor]

UNKNOWN, SEGMENTATION, UNET_ALONE = "unknown", "segmentation model", "UNet"

# Parts of tensor names -> what a file with such a name in it is, where it is nothing that is used here.
_OTHERS = (
    (("motion_modules.",), "motion module"),
    (("ip_adapter.", "image_proj."), "IP-Adapter"),
    (("adapter.body.", "body.0.block1.", "body.0.resnets."), "T2I-Adapter"),
    (("double_blocks.", "joint_blocks.", "transformer_blocks.0.attn.to_out"), "diffusion transformer"),
    (("down_blocks.0.resnets", "down_blocks.0.attentions"), "part of a UNet"),
    (("text_model.", "token_embedding."), "text encoder"),
    (("vision_model.", "visual."), "image encoder"),
    (
        ("conv_body", "RRDB_trunk", "body.0.rdb", "model.1.sub", "conv_after_body", "residual_layer.0."),
        "upscaler",
    ),
)
# What those are for that cannot be used here.
_PURPOSES = {
    "motion module": "makes short films with Stable Diffusion; pictures need none",
    "IP-Adapter": "makes a model follow a picture as it follows words, which is not supported here",
    "T2I-Adapter": "guides a model by a sketch or edges; look for a ControlNet of the same kind",
    "textual inversion": "gives a model a new word; prompts name it, it draws nothing by itself",
    "diffusion transformer": "of another family than those that are drawn with here",
    "part of a UNet": "choose the file or folder with the whole of it",
    "text encoder": "a part of a model; choose the file or folder with the whole of it",
    "image encoder": "tells what is in a picture and draws none",
    "upscaler": "enlarges pictures by a network that is not supported here",
}

_EXTENDS = {
    ADAPTER: "Changes what a model draws; a request names it among its adapters.",
    CONTROL: "Guides a model by a picture; a request names it among its controls.",
}
_SEGMENTATION = "Tells what is where in a picture: the Paint tab makes a map of it."


@dataclass(frozen=True, slots=True)
class Identity:
    """What something is.

    Attributes:
        kind: "model" for a whole latent diffusion model; else "first stage", "LoRA", ...; "unknown".
        family: of a whole model, or of one for segmentation.
        tasks: what it can do here; empty where it cannot be used.
        precision: number format of most weights, as torch names it.
        num_parameters: numbers in all tensors.
        problem: why it cannot be used; empty where it can.
        note: what is left aside of it.
    """

    kind: str
    family: str = ""
    tasks: tuple[str, ...] = ()
    precision: str = ""
    num_parameters: int = 0
    title: str = ""
    description: str = ""
    licence: str = ""
    problem: str = ""
    note: str = ""


def identify(path: Path) -> Identity:
    """What the file or model folder at `path` is.  Never raises for what the files hold."""
    try:
        if (path / "model_index.json").is_file():
            return _diffusers(path)
        if path.suffix.lower() == ".png":
            return _embedding(path)
        folder = segmentation.folder_of(path)
        return _checkpoint(path) if folder is None else _segmentation(folder)
    except AtelierError as error:
        return Identity(UNKNOWN, problem=str(error))
    except OSError as error:
        return Identity(UNKNOWN, problem=f"{shown(path.name)} cannot be read: {error.strerror}.")


def describe(path: Path) -> Config:
    """What a model file or folder describes or, without a description, is recognised as.

    Raises:
        ModelError: it is no model, or none that can be used.
    """
    with ExitStack() as stack:
        return open_model(path, stack).config


def _checkpoint(path: Path) -> Identity:
    shapes: Shapes = {}
    for piece in pieces_of(path / "model.safetensors" if path.is_dir() else path):
        shapes |= read_shapes(piece)
    if is_embedding(shapes):
        return _embedding(path)
    kind, family = _kind(shapes)
    precision, count = _precision(shapes.values())
    if kind in _EXTENDS:
        problem = adapter_problem(shapes) if kind == ADAPTER else control_problem(shapes)
        description = "" if problem else _EXTENDS[kind]
        return Identity(kind, "", (), precision, count, description=description, problem=problem)
    if kind not in (MODEL, FIRST_STAGE, UNET_ALONE):
        problem = (
            f"It is {_article(kind)}, not a model: {_PURPOSES[kind]}."
            if kind != UNKNOWN
            else "It is no model that is known."
        )
        return Identity(kind, precision=precision, num_parameters=count, problem=problem)
    title = description = licence = problem = note = ""
    tasks: tuple[str, ...] = ()
    try:
        config, note = _loadable(path)
        defaults = config.defaults
        title, description, licence = defaults.title, defaults.description, defaults.licence
        if isinstance(config.spec, AutoencoderSpec):
            kind, problem = FIRST_STAGE, "It is a first stage (VAE) alone, not a model."
        else:
            tasks = tuple(sorted(config.spec.tasks))
            kind = MODEL
    except AtelierError as error:
        problem = str(error)
    return Identity(kind, family, tasks, precision, count, title, description, licence, problem, note)


def _loadable(path: Path) -> tuple[Config, str]:
    """What loading a model would find, and what it would leave aside.

    Raises:
        ModelError: it cannot be loaded.
    """
    with ExitStack() as stack:
        opened = open_model(path, stack)
        require_loadable(opened)
        return opened.config, left_aside(opened)


def _embedding(path: Path) -> Identity:
    file = read_embedding(path, path.stem)
    precision, count = _precision(file.parts.values())
    vectors = "1 vector" if file.length == 1 else f"{file.length} vectors"
    description = f"{vectors} for {file.family or 'models of its size'}; a prompt names it."
    return Identity(EMBEDDING, file.family, (), precision, count, description=description)


def _kind(shapes: Shapes) -> tuple[str, str]:
    """The kind, and of a whole model the family."""
    if is_adapter(shapes):
        return ADAPTER, ""
    if is_control(shapes):
        return CONTROL, ""
    if any("emb_params" in name or "string_to_param" in name for name in shapes):
        return "textual inversion", ""
    if is_unet_alone(shapes):
        return UNET_ALONE, ""
    if (found := family_of(shapes)) is not None:
        family, title = found
        return family.kind, title if family.kind == MODEL else ""
    text = "\n".join(shapes)
    return next((kind for parts, kind in _OTHERS if any(part in text for part in parts)), UNKNOWN), ""


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def _precision(tensors: Iterable[torch.Tensor]) -> tuple[str, int]:
    """The number format of most numbers, and how many numbers there are."""
    counts: dict[torch.dtype, int] = {}
    for tensor in tensors:
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.numel()
    most = max(counts, key=lambda dtype: counts[dtype], default=torch.float32)
    return str(most).removeprefix("torch."), sum(counts.values())


# Folders in the layout of diffusers ---------------------------------------------------------------------


def _diffusers(folder: Path) -> Identity:
    _, family = family_of_folder(folder)
    precision, count = _precision(t for file in weights_of(folder) for t in read_shapes(file).values())
    tasks: tuple[str, ...] = ()
    problem = note = ""
    try:
        config, note = _loadable(folder)
        if isinstance(config.spec, ModelSpec):
            tasks = tuple(sorted(config.spec.tasks))
    except AtelierError as error:
        problem = str(error)
    return Identity(MODEL, family, tasks, precision, count, problem=problem, note=note)


# Folders in the layout of transformers ------------------------------------------------------------------


def _segmentation(folder: Path) -> Identity:
    family = segmentation.family(folder)
    try:
        segmentation.require_safe(folder)
        precision, count = _precision(read_shapes(folder / segmentation.WEIGHTS).values())
    except AtelierError as error:
        return Identity(SEGMENTATION, family, problem=str(error))
    return Identity(SEGMENTATION, family, (), precision, count, description=_SEGMENTATION)
