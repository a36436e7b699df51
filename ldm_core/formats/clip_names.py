"""The text encoders of Stable Diffusion's single files: their published names -> ours.

OpenAI's CLIP has the names that transformers gives it.  OpenCLIP's own ones are translated, as its module is
here the same as CLIP's (github.com/mlfoundations/open_clip, src/open_clip/transformer.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from ldm_core.conditioners.clip import EMBEDDERS
from ldm_core.formats.renaming import Recipe, Recipes

# Of Stable Diffusion 1, of XL; their place among the text encoders follows "embedders.".
_CLIP = re.compile(
    r"(?:cond_stage_model|conditioner\.embedders\.(\d))\.transformer\.(?:text_model\.)?"
    r"((?:embeddings|encoder|final_layer_norm|text_projection|visual_projection|vision_model|logit_scale)(?:\..+)?)"
)
# Of Stable Diffusion 2, of XL.
_OPEN_CLIP = re.compile(r"(?:cond_stage_model|conditioner\.embedders\.(\d))\.model\.(.+)")
# Parts of CLIP that no picture is made with: of what they are a part, or how they begin.
_UNUSED = ("position_ids", "logit_scale", "attn_mask")
_BESIDE = ("vision_model.", "visual_projection.", "visual.", "text_projection")

_BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)")
_OUTSIDE = {
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
}
_INSIDE = (
    ("ln_1.", "layer_norm1."),
    ("ln_2.", "layer_norm2."),
    ("mlp.c_fc.", "mlp.fc1."),
    ("mlp.c_proj.", "mlp.fc2."),
    ("attn.out_proj.", "self_attn.out_proj."),
)


def published_recipes(shapes: Mapping[str, Tensor]) -> Recipes:
    """How every tensor of a published single file is named and cut in our modules."""
    recipes: dict[str, Recipe] = {}
    last = _last_block(shapes)
    for name in shapes:
        clip, open_clip = _CLIP.fullmatch(name), _OPEN_CLIP.fullmatch(name)
        if name.endswith(_UNUSED) and (clip or open_clip):
            continue
        # Only OpenCLIP's pooled prompt is used, so a projection of CLIP's changes nothing.
        if (clip and clip[2].startswith(_BESIDE)) or (open_clip and open_clip[2].startswith("visual.")):
            continue
        if clip:
            recipes[f"{EMBEDDERS}{clip[1] or 0}.transformer.text_model.{clip[2]}"] = Recipe((name,))
        elif open_clip:
            # Stable Diffusion 2 takes what the last block but one gives, and no pooled prompt.
            unused = (f"transformer.resblocks.{last}.", "text_projection")
            if open_clip[1] or not open_clip[2].startswith(unused):
                recipes |= _open_clip(name, open_clip[2], f"{EMBEDDERS}{open_clip[1] or 0}.model.")
        else:
            recipes[name] = Recipe((name,))
    return recipes


def _last_block(names: Iterable[str]) -> int:
    """The number of Stable Diffusion 2's last block."""
    prefix = re.compile(r"cond_stage_model\.model\.transformer\.resblocks\.(\d+)\.")
    return max((int(match[1]) for name in names if (match := prefix.match(name))), default=-1)


def _open_clip(name: str, inner: str, prefix: str) -> dict[str, Recipe]:
    """The recipes that take from one of OpenCLIP's tensors, its name `inner` within the encoder."""
    if inner == "text_projection":
        return {f"{prefix}text_projection.weight": Recipe((name,), lambda parts: parts[0].T)}
    if inner in _OUTSIDE:
        return {prefix + _OUTSIDE[inner]: Recipe((name,))}
    block = _BLOCK.fullmatch(inner)
    if block is None:
        return {name: Recipe((name,))}  # not known: named where the tensors are compared
    layer, inner = f"{prefix}text_model.encoder.layers.{block[1]}.", block[2]
    if inner.startswith("attn.in_proj_"):
        end = inner.removeprefix("attn.in_proj_")
        return {f"{layer}self_attn.{qkv}_proj.{end}": _third(name, i) for i, qkv in enumerate("qkv")}
    for theirs, ours in _INSIDE:
        if inner.startswith(theirs):
            return {layer + ours + inner.removeprefix(theirs): Recipe((name,))}
    return {name: Recipe((name,))}


def _third(name: str, index: int) -> Recipe:
    """Of q, k and v, stored in one tensor below each other."""
    return Recipe((name,), lambda parts: parts[0].chunk(3)[index])
