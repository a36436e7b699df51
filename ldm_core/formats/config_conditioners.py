"""The conditioners of a configuration: `cond_stage_config` as published, `concat_conditions` of our own.

concat_conditions:            # beside cond_stage_config, with conditioning_key: hybrid
  - known_region
  - label_map: [sky, cloud]   # names of the classes
  - box_map: [sun, moon]
"""

from __future__ import annotations

from ldm_core.facts import Section, Value, read_schedule
from ldm_core.spec import (
    BoxMapSpec,
    ClassSpec,
    ClipSpec,
    ClipTower,
    ConcatSpec,
    ConditionerSpec,
    ContextSpec,
    KnownRegionSpec,
    LabelMapSpec,
    LayoutSpec,
    LowResolutionSpec,
    MaskedImageSpec,
    TextSpec,
)

_BERT = frozenset({"ldm.modules.encoders.modules.BERTEmbedder"})
_CLASS = frozenset({"ldm.modules.encoders.modules.ClassEmbedder"})
_CLIP = frozenset({"ldm.modules.encoders.modules.FrozenCLIPEmbedder"})
_OPEN_CLIP = frozenset({"ldm.modules.encoders.modules.FrozenOpenCLIPEmbedder"})
# Sizes of the encoders that the published configurations name: ViT-L/14, and ViT-H/14 without its last block.
VIT_L = ClipTower(768, 12, 12, 3072, 49_408, 77, open_clip=False)
_VIT_H = ClipTower(1024, 23, 16, 4096, 49_408, 77, open_clip=True)
_RESCALER = frozenset({"ldm.modules.encoders.modules.SpatialRescaler"})
_NOISED = frozenset({"ldm.modules.diffusionmodules.upscaling.ImageConcatWithNoiseAugmentation"})
_IDENTITY = frozenset({"torch.nn.Identity"})
# Words that stand for a whole section.
_WORDS: dict[str, tuple[ConditionerSpec, ...]] = {
    "__is_unconditional__": (),
    "__is_first_stage__": (MaskedImageSpec(),),
}

_MAX_CLASSES = 255  # a label map's 255 says nothing


def read_conditioners(params: Section, beside: tuple[ConcatSpec, ...] = ()) -> tuple[ConditionerSpec, ...]:
    """The conditioners that a configuration names, `cond_stage_config` first.

    Args:
        beside: what the kind of model concatenates without naming it.

    Raises:
        ConfigError: of an unknown kind, incomplete, or at odds with `conditioning_key`.
    """
    found = (*_cond_stage(params), *_concat_conditions(params))
    ways = {"crossattn" if isinstance(one, ContextSpec) else "concat" for one in (*found, *beside)}
    needed = "hybrid" if len(ways) == 2 else next(iter(ways), None)
    if any(isinstance(one, LowResolutionSpec) and one.noise for one in beside):
        needed = "hybrid-adm"  # the noise level joins the embedding of t
    usual = "concat" if params.values.get("concat_mode", True) else "crossattn"
    given = params.values.get("conditioning_key") or usual
    if needed is not None and given != needed:
        raise params.wrong("conditioning_key", f"{needed!r} with these conditioners")
    return found


def read_low_resolution(section: Section) -> LowResolutionSpec:
    """The small picture that the x4 upscaler of Stable Diffusion enlarges, noised to a level.

    Raises:
        ConfigError: of another kind, or without its noise schedule.
    """
    section.target(_NOISED)
    own = section.section("params")
    own.whole("max_noise_level", 1, 10_000, 1000)
    return LowResolutionSpec(noise=read_schedule(own.section("noise_schedule_config"), 1000))


def _cond_stage(params: Section) -> tuple[ConditionerSpec, ...]:
    word = params.values.get("cond_stage_config")
    if isinstance(word, str) and word in _WORDS:
        return _WORDS[word]
    section = params.section("cond_stage_config")
    section.target(_BERT | _CLASS | _RESCALER | _IDENTITY | _CLIP | _OPEN_CLIP)
    if section.has_target(_CLIP | _OPEN_CLIP):
        return (ClipSpec((_VIT_H if section.has_target(_OPEN_CLIP) else VIT_L,)),)
    if section.has_target(_IDENTITY):
        return (LowResolutionSpec(),)
    own = section.section("params")
    if section.has_target(_CLASS):
        return (_classes(own),)
    return (_label_map(own) if section.has_target(_RESCALER) else _transformer(own),)


def _transformer(params: Section) -> TextSpec | LayoutSpec:
    params.only(
        frozenset({"n_embed", "n_layer", "vocab_size", "max_seq_len"})
        | {"use_tokenizer", "device", "embedding_dropout"},
        {},
    )
    # The published transformer without a tokenizer is given the tokens of a layout.
    kind = LayoutSpec if params.values.get("use_tokenizer") is False else TextSpec
    return kind(
        dim=params.whole("n_embed", 1, 8192),
        depth=params.whole("n_layer", 1, 128),
        vocab_size=params.whole("vocab_size", 1, 1_000_000, 30_522),
        max_length=params.whole("max_seq_len", 2, 4096, 77),
    )


def _classes(params: Section) -> ClassSpec:
    params.only(frozenset({"embed_dim", "n_classes", "key"}), {})
    return ClassSpec(
        num_classes=params.whole("n_classes", 1, 1_000_000, 1000), dim=params.whole("embed_dim", 1, 8192)
    )


def _label_map(params: Section) -> LabelMapSpec:
    params.only(
        frozenset({"n_stages", "in_channels", "out_channels"}),
        {"method": ("bilinear",), "multiplier": (0.5,), "bias": (False,)},
    )
    return LabelMapSpec(
        num_classes=params.whole("in_channels", 1, _MAX_CLASSES),
        channels=params.whole("out_channels", 1, 1024),
        halvings=params.whole("n_stages", 0, 8, 1),
    )


def _concat_conditions(params: Section) -> tuple[ConcatSpec, ...]:
    entries = params.values.get("concat_conditions") or []
    if not isinstance(entries, list) or len(entries) > 3:
        raise params.wrong("concat_conditions", "a list of known_region, label_map and box_map")
    return tuple(_concat_condition(params, entry) for entry in entries)


def _concat_condition(params: Section, entry: Value) -> ConcatSpec:
    if entry == "known_region":
        return KnownRegionSpec()
    if isinstance(entry, dict) and len(entry) == 1:
        ((kind, names),) = entry.items()
        if isinstance(names, list) and 1 <= len(names) <= _MAX_CLASSES:
            classes = tuple(name for name in names if isinstance(name, str) and 0 < len(name) <= 100)
            whole = len(set(classes)) == len(names)
            if kind == "label_map" and whole:
                return LabelMapSpec(num_classes=len(classes), classes=classes)
            if kind == "box_map" and whole:
                return BoxMapSpec(classes)
    raise params.wrong(
        "concat_conditions",
        "a list of known_region, label_map: [names] and box_map: [names], names given once",
    )
