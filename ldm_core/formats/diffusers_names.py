"""The tensors of folders in the layout of diffusers: their names there -> ours.

Levels are counted from the highest resolution in `down_blocks`, from the lowest in `up_blocks`.
Source of the layout: github.com/huggingface/diffusers, src/diffusers/models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from ldm_core.conditioners.clip import EMBEDDERS
from ldm_core.formats.renaming import Make, Recipe, Recipes
from ldm_core.formats.shapes import COND_STAGE, FIRST_STAGE, UNET

Heads = Callable[[int], int]  # channels -> attention heads

_OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "time_embedding.cond_proj": "guidance_embed",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "class_embedding": "label_emb",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_RESIDUAL = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
# Attention without a context; the first versions of diffusers had other names.
_ATTENTION = {
    "group_norm": "norm",
    **dict.fromkeys(("to_q", "query"), "q"),
    **dict.fromkeys(("to_k", "key"), "k"),
    **dict.fromkeys(("to_v", "value"), "v"),
    **dict.fromkeys(("to_out.0", "proj_attn"), "proj_out"),
}
_LAYER = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)")
_MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)")
_BERT_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)")
_BERT_INSIDE = {  # layer (attention, feed-forward) and place in it
    "self_attn_layer_norm": (0, "0"),
    "self_attn.q_proj": (0, "1.to_q"),
    "self_attn.k_proj": (0, "1.to_k"),
    "self_attn.v_proj": (0, "1.to_v"),
    "self_attn.out_proj": (0, "1.to_out"),
    "final_layer_norm": (1, "0"),
    "fc1": (1, "1.net.0.0"),
    "fc2": (1, "1.net.2"),
}
_BERT_OUTSIDE = {
    "model.embed_tokens": "token_emb",
    "model.embed_positions": "pos_emb.emb",
    "model.layer_norm": "norm",
}


# All of them: a name that is not known stays, and is told of where the tensors are compared.


def unet_recipes(names: Iterable[str], heads: Heads) -> Recipes:
    """Our UNet's tensors.

    Args:
        heads: of the attention in models without a context, which stores q, k and v by heads.
    """
    found = tuple(names)
    place = _UNetPlaces(found)
    qkv: dict[str, dict[str, str]] = {}
    recipes: dict[str, Recipe] = {}
    for name in found:
        block, module, end = place(name)
        attention = _ATTENTION.get(module, "")
        if attention in ("q", "k", "v"):
            qkv.setdefault(f"{UNET}{block}qkv{end}", {})[attention] = name
        elif attention:
            recipes[f"{UNET}{block}{attention}{end}"] = Recipe((name,), _with_places(1))
        else:
            recipes[f"{UNET}{block}{module}{end}"] = Recipe((name,))
    for ours, parts in qkv.items():
        recipes[ours] = Recipe(
            tuple(parts[part] for part in sorted(parts, key="qkv".index)), _by_heads(heads)
        )
    return recipes


class _UNetPlaces:
    """Where a tensor of diffusers' UNet is in ours."""

    def __init__(self, names: Sequence[str]) -> None:
        layers = [match for name in names if (match := _LAYER.fullmatch(name))]
        self._row = {  # residual blocks of a level
            way: 1 + max((int(m[4]) for m in layers if m[1] == way and m[3] == "resnets"), default=-1)
            for way in ("down", "up")
        }
        self._attends = {m[2] for m in layers if m[1] == "up" and m[3] == "attentions"}

    def __call__(self, name: str) -> tuple[str, str, str]:
        """(block with a dot, module within it, ".weight" or ".bias")."""
        if match := _MIDDLE.fullmatch(name):
            module, end = _split(match[3])
            place = 1 if match[1] == "attentions" else 2 * int(match[2])
            return f"middle_block.{place}.", _RESIDUAL.get(module, module), end
        if match := _LAYER.fullmatch(name):
            return self._layer(match)
        module, end = _split(name)
        return "", _OUTSIDE.get(module, module), end

    def _layer(self, match: re.Match[str]) -> tuple[str, str, str]:
        way, level, kind, number = match[1], int(match[2]), match[3], int(match[4])
        module, end = _split(match[5])
        if way == "down":  # the change of size stands by itself
            first, last = 1 + level * (self._row[way] + 1), self._row[way]
            if kind == "downsamplers":
                return f"input_blocks.{first + last}.0.", "op" if module == "conv" else module, end
            place = int(kind == "attentions")
            return f"input_blocks.{first + number}.{place}.", _RESIDUAL.get(module, module), end
        first, last = level * self._row[way], self._row[way] - 1
        if kind == "upsamplers":
            return f"output_blocks.{first + last}.{2 if match[2] in self._attends else 1}.", module, end
        place = int(kind == "attentions")
        return f"output_blocks.{first + number}.{place}.", _RESIDUAL.get(module, module), end


_OUR_OUTSIDE = {ours: theirs for theirs, ours in _OUTSIDE.items()}
_OUR_RESIDUAL = {ours: theirs for theirs, ours in _RESIDUAL.items()}
_BLOCK = re.compile(r"(input|output)_blocks\.(\d+)\.(\d)\.(.+)")
_OUR_MIDDLE = re.compile(r"middle_block\.(\d)\.(.+)")


def unet_module(name: str, num_res_blocks: int) -> str:
    """What diffusers calls a module of our UNet: the other way than `unet_recipes`.

    Args:
        name: without the UNet's prefix.
    """
    if match := _OUR_MIDDLE.fullmatch(name):
        place, module = int(match[1]), match[2]
        kind = "attentions.0" if place == 1 else f"resnets.{place // 2}"
        return f"mid_block.{kind}.{_OUR_RESIDUAL.get(module, module)}"
    match = _BLOCK.fullmatch(name)
    if match is None or name in _OUR_OUTSIDE:
        return _OUR_OUTSIDE.get(name, name)
    way, number, place, module = match[1], int(match[2]), int(match[3]), match[4]
    row = num_res_blocks + 1  # blocks of a level: with the change of size on the way down
    level, i = divmod(number - (way == "input"), row)
    side = "down" if way == "input" else "up"
    if (way == "input" and i == num_res_blocks) or (way == "output" and module == "conv"):
        return f"{side}_blocks.{level}.{side}samplers.0.{'conv' if module in ('op', 'conv') else module}"
    kind = "resnets" if place == 0 else "attentions"
    return f"{side}_blocks.{level}.{kind}.{i}.{_OUR_RESIDUAL.get(module, module)}"


def first_stage_recipes(names: Iterable[str], prefix: str = FIRST_STAGE) -> Recipes:
    """Our first stage's tensors."""
    found = tuple(names)
    levels = 1 + max((int(m[2]) for name in found if (m := _LAYER.search(name))), default=0)
    recipes = {}
    for name in found:
        side, _, inner = name.partition(".")
        if side not in ("encoder", "decoder"):
            recipes[prefix + name] = Recipe((name,))
            continue
        block, module, end = _first_stage_place(inner, levels)
        attention = _ATTENTION.get(module, "")
        make = _with_places(2) if attention else None
        module = attention or ("nin_shortcut" if module == "conv_shortcut" else module)
        recipes[f"{prefix}{side}.{block}{module}{end}"] = Recipe((name,), make) if make else Recipe((name,))
    return recipes


def _first_stage_place(name: str, levels: int) -> tuple[str, str, str]:
    """(block with a dot, module within it, ".weight" or ".bias") in the encoder or decoder."""
    if match := _MIDDLE.fullmatch(name):
        kind = {"resnets": "block", "attentions": "attn"}[match[1]]
        return f"mid.{kind}_{int(match[2]) + 1}.", *_split(match[3])
    if match := _LAYER.fullmatch(name):
        level = int(match[2]) if match[1] == "down" else levels - 1 - int(match[2])
        if match[3] in ("downsamplers", "upsamplers"):
            return f"{match[1]}.{level}.{match[3].removesuffix('rs')}.", *_split(match[5])
        kind = {"resnets": "block", "attentions": "attn"}[match[3]]
        return f"{match[1]}.{level}.{kind}.{match[4]}.", *_split(match[5])
    module, end = _split(name)
    return "", "norm_out" if module == "conv_norm_out" else module, end


def clip_recipes(names: Iterable[str], index: int, *, open_clip: bool) -> Recipes:
    """The tensors of our CLIP text transformer number `index`."""
    prefix = f"{EMBEDDERS}{index}.{'model' if open_clip else 'transformer'}."
    recipes = {}
    for name in names:
        module = name.removeprefix("text_model.")
        if not module.endswith("position_ids"):
            inside = "" if module.startswith("text_projection") else "text_model."
            recipes[prefix + inside + module] = Recipe((name,))
    return recipes


def bert_recipes(names: Iterable[str]) -> Recipes:
    """The tensors of the transformer that the paper's text-to-image models were trained with."""
    recipes = {}
    for name in names:
        match = _BERT_LAYER.fullmatch(name)
        module, end = _split(match[2] if match else name)
        if match and module in _BERT_INSIDE:
            second, place = _BERT_INSIDE[module]
            module = f"attn_layers.layers.{2 * int(match[1]) + second}.{place}"
        elif not match:
            module = _BERT_OUTSIDE.get(module, module)
        recipes[f"{COND_STAGE}transformer.{module}{end}"] = Recipe((name,))
    return recipes


def _split(name: str) -> tuple[str, str]:
    """(module, ".weight" or ".bias"); the whole name and "" for others."""
    module, dot, end = name.rpartition(".")
    return (module, dot + end) if end in ("weight", "bias") else (name, "")


def _with_places(count: int) -> Make:
    """A linear layer's weights as those of a convolution over so many dimensions; biases and scales stay."""

    def make(parts: Sequence[Tensor]) -> Tensor:
        weight = parts[0]
        return weight if weight.dim() < 2 else weight.reshape(*weight.shape[:2], *[1] * count)

    return make


def _by_heads(heads: Heads) -> Make:
    """q, k and v of the first head, then those of the second, ..., in one convolution."""

    def make(parts: Sequence[Tensor]) -> Tensor:
        count = heads(parts[0].shape[0])
        split = [part.view(count, -1, *part.shape[1:]) for part in parts]  # (heads, d, ...)
        joined = torch.stack(split, dim=1).flatten(0, 2)
        return joined if joined.dim() < 2 else joined.flatten(1)[..., None]

    return make
