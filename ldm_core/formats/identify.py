"""What a file or folder of somebody's collection is, usable or not, told from headers alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from ldm_core.errors import AtelierError, ConfigError
from ldm_core.formats.clip_names import published_recipes
from ldm_core.formats.config import Config, config_beside, read_config
from ldm_core.formats.files import shown
from ldm_core.formats.folders import read_json, weights_of
from ldm_core.formats.reading import read_shapes
from ldm_core.formats.recognise import recognise
from ldm_core.formats.renaming import made_shapes
from ldm_core.formats.stable_diffusion import usual_defaults
from ldm_core.spec import AutoencoderSpec, ModelSpec

Shapes = dict[str, torch.Tensor]

MODEL, FIRST_STAGE, UNKNOWN = "model", "first stage", "unknown"

# Parts of tensor names -> what a file with such a name in it is.  The first that fits counts.
_KINDS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("lora_up.", "lora_down.", "lora_A.", "lora_B.", "hada_w1", "lokr_w", "_lora."), "LoRA"),
    (("control_model.", "controlnet_", "zero_convs.", "controlnet_cond_embedding."), "ControlNet"),
    (("emb_params", "string_to_param"), "textual inversion"),
    (("model.diffusion_model.",), MODEL),
    (("double_blocks.", "joint_blocks.", "transformer_blocks.0.attn.to_out"), "diffusion transformer"),
    (("down_blocks.0.resnets", "down_blocks.0.attentions"), "UNet"),
    (("first_stage_model.decoder.", "decoder.conv_in.", "decoder.up_blocks."), FIRST_STAGE),
    (("text_model.", "token_embedding."), "text encoder"),
    (("vision_model.", "visual."), "image encoder"),
    (("conv_body", "RRDB_trunk", "body.0.rdb", "model.1.sub"), "upscaler"),
    (("motion_modules.",), "motion module"),
    (("ip_adapter.",), "IP-Adapter"),
)

# Tensor -> the family of a whole model that has it.  The first that fits counts.
_TEXT_ENCODERS: tuple[tuple[str, str], ...] = (
    ("conditioner.embedders.1.model.ln_final.weight", "Stable Diffusion XL"),
    ("conditioner.embedders.0.model.ln_final.weight", "Stable Diffusion XL refiner"),
    ("cond_stage_model.transformer.text_model.final_layer_norm.weight", "Stable Diffusion 1"),
    ("cond_stage_model.model.ln_final.weight", "Stable Diffusion 2"),
    ("cond_stage_model.transformer.token_emb.weight", "latent diffusion, from text"),
    ("cond_stage_model.embedding.weight", "latent diffusion, from classes"),
)
_VARIANTS = {9: " inpainting", 8: " edit", 7: " x4 upscaler", 5: " depth"}  # by channels that go in

# Class of a diffusers pipeline -> its family.
_PIPELINES = {
    "StableDiffusionPipeline": "Stable Diffusion",
    "StableDiffusionInpaintPipeline": "Stable Diffusion inpainting",
    "StableDiffusionUpscalePipeline": "Stable Diffusion x4 upscaler",
    "StableDiffusionXLPipeline": "Stable Diffusion XL",
    "StableDiffusionXLImg2ImgPipeline": "Stable Diffusion XL refiner",
    "StableDiffusionXLInpaintPipeline": "Stable Diffusion XL inpainting",
    "LDMTextToImagePipeline": "latent diffusion, from text",
    "LDMSuperResolutionPipeline": "latent diffusion, super-resolution",
    "LDMPipeline": "latent diffusion, unconditional",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """What something is.

    Attributes:
        kind: "model" for a whole latent diffusion model; else "first stage", "LoRA", ...; "unknown".
        family: of a whole model.
        tasks: what it can do here; empty where it cannot be used.
        precision: number format of most weights, as torch names it.
        num_parameters: numbers in all tensors.
        problem: why it cannot be used; empty where it can.
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


def identify(path: Path) -> Identity:
    """What the file or model folder at `path` is.  Never raises for what the files hold."""
    try:
        return _diffusers(path) if (path / "model_index.json").is_file() else _checkpoint(path)
    except AtelierError as error:
        return Identity(UNKNOWN, problem=str(error))


def describe(path: Path) -> Config:
    """What a model file or folder describes or, without a description, is recognised as.

    Raises:
        ModelError: it is no model, or none that can be used.
    """
    file = path / "model.safetensors" if path.is_dir() else path
    found = config_beside(file)
    if found is not None:
        return read_config(found)
    shapes = read_shapes(file)
    spec = recognise(made_shapes(shapes, published_recipes(shapes)))
    return Config(spec, usual_defaults(spec) if isinstance(spec, ModelSpec) else None)


def _checkpoint(path: Path) -> Identity:
    shapes = read_shapes(path / "model.safetensors" if path.is_dir() else path)
    kind = _kind(shapes)
    precision, count = _precision(shapes.values())
    if kind not in (MODEL, FIRST_STAGE):
        problem = (
            f"It is {_article(kind)}, not a model." if kind != UNKNOWN else "It is no model that is known."
        )
        return Identity(kind, precision=precision, num_parameters=count, problem=problem)
    title = description = licence = problem = ""
    family = _family(shapes) if kind == MODEL else ""
    tasks: tuple[str, ...] = ()
    try:
        config = describe(path)
        if config.defaults is not None:
            given = config.defaults
            title, description, licence = given.title, given.description, given.licence
        if isinstance(config.spec, AutoencoderSpec):
            kind, problem = FIRST_STAGE, "It is a first stage (VAE) alone, not a model."
        else:
            tasks = tuple(sorted(config.spec.tasks))
    except AtelierError as error:
        problem = str(error)
    return Identity(kind, family, tasks, precision, count, title, description, licence, problem)


def _kind(names: Iterable[str]) -> str:
    text = "\n".join(names)
    return next((kind for parts, kind in _KINDS if any(part in text for part in parts)), UNKNOWN)


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def _family(shapes: Shapes) -> str:
    stem = shapes.get("model.diffusion_model.input_blocks.0.0.weight")
    channels = stem.shape[1] if stem is not None and stem.dim() == 4 else 0
    for name, family in _TEXT_ENCODERS:
        if name in shapes:
            return family + (_VARIANTS.get(channels, "") if family.startswith("Stable") else "")
    return "latent diffusion"


def _precision(tensors: Iterable[torch.Tensor]) -> tuple[str, int]:
    """The number format of most numbers, and how many numbers there are."""
    counts: dict[torch.dtype, int] = {}
    for tensor in tensors:
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.numel()
    most = max(counts, key=lambda dtype: counts[dtype], default=torch.float32)
    return str(most).removeprefix("torch."), sum(counts.values())


# Folders in the layout of diffusers ---------------------------------------------------------------------


def _diffusers(folder: Path) -> Identity:
    name = read_json(folder / "model_index.json").get("_class_name")
    pipeline = shown(name, 60) if isinstance(name, str) else ""
    family = _PIPELINES.get(pipeline)
    if family is None:
        problem = f"Its pipeline is {pipeline or 'not named'}, which is none of the latent diffusion family."
        return Identity(UNKNOWN, problem=problem)
    weights = [file for file in weights_of(folder) if file.parent.name in ("unet", "vqvae", "vae")]
    tensors = [tensor for file in weights for tensor in read_shapes(file).values()]
    precision, count = _precision(tensors)
    try:
        raise ConfigError("It is a folder in the layout of diffusers, which cannot be loaded yet.")
    except AtelierError as error:
        tasks, problem = (), str(error)
    return Identity(MODEL, family, tasks, precision, count, problem=problem)
