"""Small LoRAs for diffusers' pipelines, in the spellings that circulate, and small ControlNets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from diffusers import ControlNetModel, DiffusionPipeline
from torch import Tensor, nn

RANK, ALPHA = 3, 2.0
PARTS = {"unet": "lora_unet_", "text_encoder": "lora_te_", "text_encoder_2": "lora_te2_"}


@dataclass(frozen=True)
class Pair:
    down: Tensor
    up: Tensor


def pairs(pipeline: DiffusionPipeline, seed: int = 0, *, text: bool = True) -> dict[str, dict[str, Pair]]:
    """For every layer that such files change: part of the pipeline -> module -> low-rank pair."""
    generator = torch.Generator().manual_seed(seed)
    parts = ("unet", *(("text_encoder", "text_encoder_2") if text else ()))
    return {
        part: {
            name: pair(module.weight, generator)
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear | nn.Conv2d) and _is_changed(part, name)
        }
        for part in parts
        if (model := getattr(pipeline, part, None)) is not None
    }


def _is_changed(part: str, name: str) -> bool:
    words = ("attn", "ff.", "proj_in", "proj_out", "resnets", "samplers") if part == "unet" else ("layers.",)
    return any(word in name for word in words)


def pair(weight: Tensor, generator: torch.Generator, std: float = 0.1) -> Pair:
    down = torch.randn(RANK, *weight.shape[1:], generator=generator)
    up = torch.randn(weight.shape[0], RANK, *[1] * (weight.dim() - 2), generator=generator)
    return Pair(std * down, std * up)


def kohya(found: Mapping[str, Mapping[str, Pair]]) -> dict[str, Tensor]:
    """As kohya's scripts write them; of XL the first text encoder is te1."""
    tensors = {}
    for part, modules in found.items():
        stem = "lora_te1_" if part == "text_encoder" and "text_encoder_2" in found else PARTS[part]
        for name, one in modules.items():
            inside = "" if part == "unet" or name.startswith("text_model.") else "text_model."
            key = stem + (inside + name).replace(".", "_")
            tensors |= {f"{key}.lora_down.weight": one.down, f"{key}.lora_up.weight": one.up}
            tensors[f"{key}.alpha"] = torch.tensor(ALPHA)
    return tensors


def peft(found: Mapping[str, Mapping[str, Pair]]) -> dict[str, Tensor]:
    """As diffusers writes them now; alpha is the rank."""
    return {
        f"{part}.{name}.lora_{letter}.weight": tensor
        for part, modules in found.items()
        for name, one in modules.items()
        for letter, tensor in (("A", one.down), ("B", one.up))
    }


def attention_processors(found: Mapping[str, Mapping[str, Pair]]) -> dict[str, Tensor]:
    """As the first versions of diffusers wrote them: attention of the UNet alone."""
    tensors = {}
    for name, one in found["unet"].items():
        module, _, layer = name.removesuffix(".0").rpartition(".")
        if ".attn" in name and layer.startswith("to_"):
            stem = f"unet.{module}.processor.{layer}_lora"
            tensors |= {f"{stem}.down.weight": one.down, f"{stem}.up.weight": one.up}
    return tensors


def controlnet(pipeline: DiffusionPipeline, seed: int) -> ControlNetModel:
    """Whose zero convolutions are none."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        control = ControlNetModel.from_unet(pipeline.unet)
        for name, parameter in control.named_parameters():
            if name.startswith("controlnet_"):
                nn.init.normal_(parameter, std=0.1)
    return control.eval()


def published(control: ControlNetModel, encoder: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A ControlNet under the names of the published files.

    Args:
        encoder: the UNet that it was copied from, by our names, without their prefix.
    """
    tensors = {n: t for n, t in encoder.items() if not n.startswith(("output_blocks.", "out."))}
    for name, tensor in control.state_dict().items():
        words = name.split(".")
        match words[0]:
            case "controlnet_down_blocks":
                tensors[f"zero_convs.{words[1]}.0.{words[2]}"] = tensor
            case "controlnet_mid_block":
                tensors[f"middle_block_out.0.{words[1]}"] = tensor
            case "controlnet_cond_embedding":
                number = {"conv_in": 0, "conv_out": 14}.get(words[1])
                place = 2 * (int(words[2]) + 1) if number is None else number
                tensors[f"input_hint_block.{place}.{words[-1]}"] = tensor
    return tensors
