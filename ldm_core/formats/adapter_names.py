"""What files of adapters call a model's modules: a table from every accepted spelling to our name.

It is built from the model's own modules and file keys are looked up in it, as they cannot be taken apart:
"_" stands between words and in the middle of them.  Sources of the spellings: kohya-ss/sd-scripts,
networks/lora.py; huggingface/diffusers, loaders/lora_conversion_utils.py; LyCORIS.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ldm_core.conditioners import ClipSpec
from ldm_core.conditioners.clip import EMBEDDERS
from ldm_core.formats.diffusers_names import unet_module
from ldm_core.formats.shapes import UNET
from ldm_core.model_spec import ModelSpec
from ldm_core.spec import UNetSpec

# Before the module in a file's key; "_": with the module's dots as underscores.
_PUBLISHED = ("lora_unet_", "oft_unet_", "diffusion_model.", UNET)  # by the names of the published UNet
_DIFFUSERS = ("lora_unet_", "oft_unet_", "lycoris_", "unet.", "base_model.model.", "")


def spellings(modules: Iterable[str], spec: ModelSpec) -> dict[str, str]:
    """{a spelling: our module's name}.

    Args:
        modules: the names of the model's modules that have weights.
    """
    table: dict[str, str] = {}
    for module in modules:
        if module.startswith(UNET):
            inner = module.removeprefix(UNET)
            names = tuple(_spelled(_PUBLISHED, inner))
            if isinstance(spec.unet, UNetSpec):
                names += tuple(_spelled(_DIFFUSERS, unet_module(inner, spec.unet.num_res_blocks)))
        elif module.startswith(EMBEDDERS):
            number, _, inside = module.removeprefix(EMBEDDERS).partition(".")
            names = tuple(_text_spellings(int(number), inside.partition(".")[2], spec))
        else:
            names = (module,)
        table |= dict.fromkeys(names, module)
    return table


def _spelled(prefixes: Iterable[str], name: str) -> Iterator[str]:
    # What was once a module of its own behind attention is the first of two now.
    names = (name, name.removesuffix(".0")) if name.endswith(".to_out.0") else (name,)
    for prefix in prefixes:
        for each in names:
            yield prefix + (each.replace(".", "_") if prefix.endswith("_") else each)


_OF_ATTENTION = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}


def _text_spellings(number: int, name: str, spec: ModelSpec) -> Iterator[str]:
    """Of a module of text encoder `number`, by transformers' name of it."""
    clip = spec.conditioner(ClipSpec)
    assert clip is not None
    prefixes: tuple[str, ...]
    if len(clip.towers) > 1:
        prefixes = (
            f"lora_te{number + 1}_",
            "text_encoder." if number == 0 else f"text_encoder_{number + 1}.",
        )
    elif clip.num_sizes:  # the refiner of XL has the second one alone
        prefixes = ("lora_te2_", "text_encoder_2.")
    else:
        prefixes = ("lora_te_", "lora_te1_", "text_encoder.")
    parent, _, last = name.rpartition(".")
    names = [name, f"{parent}.{_OF_ATTENTION[last]}"] if last in _OF_ATTENTION else [name]
    names += [each.removeprefix("text_model.") for each in names if each.startswith("text_model.")]
    for each in names:
        yield from _spelled(prefixes, each)
