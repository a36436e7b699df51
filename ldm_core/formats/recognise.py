"""What a model is, told by its tensors' names and shapes.

Shapes tell nearly everything.  What they cannot tell (attention heads, scale of the latent, what is
predicted) is known for the published models, which come as a bare `model.ckpt`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch

from ldm_core.errors import ConfigError
from ldm_core.spec import AutoencoderSpec, ModelSpec, Parameterization, ScheduleSpec, TextSpec, UNetSpec

Weights = Mapping[str, torch.Tensor]

_UNET = "model.diffusion_model."
_FIRST_STAGE = "first_stage_model."
_TEXT = "cond_stage_model.transformer."
# Attention is given by resolution; the published first stages were all trained at this one, and only
# the ratio matters.
_RESOLUTION = 256


@dataclass(frozen=True, slots=True)
class UNetFacts:
    """Everything of a `UNetSpec` that shapes tell: all but the heads."""

    in_channels: int
    out_channels: int
    model_channels: int
    channel_mult: tuple[int, ...]
    num_res_blocks: int
    attention_resolutions: tuple[int, ...]
    context_dim: int
    transformer_depth: int
    pooled_context: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """A published model: how it is told apart, and what its tensors do not tell."""

    title: str
    unet: UNetFacts
    text_depth: int
    num_heads: int
    scale_factor: float
    schedule: ScheduleSpec
    parameterization: Parameterization = "eps"


PUBLISHED: tuple[Published, ...] = (
    Published(
        title="text2img-large (LAION-400M, 1.45 billion parameters)",
        unet=UNetFacts(
            in_channels=4,
            out_channels=4,
            model_channels=320,
            channel_mult=(1, 2, 4, 4),
            num_res_blocks=2,
            attention_resolutions=(1, 2, 4),
            context_dim=1280,
            transformer_depth=1,
        ),
        text_depth=32,
        num_heads=8,
        scale_factor=0.18215,
        schedule=ScheduleSpec(num_timesteps=1000, linear_start=0.00085, linear_end=0.012),
    ),
)

_HOW = "Put the model's config.yaml beside the file."


def recognise(weights: Weights) -> ModelSpec | AutoencoderSpec:
    """The description of a checkpoint without a configuration.

    Raises:
        ConfigError: a kind that cannot be built, or a fact is missing that the tensors do not tell.
    """
    if f"{_UNET}input_blocks.0.0.weight" in weights:
        return _model(weights)
    if "encoder.conv_in.weight" in weights:
        return first_stage(weights, "")
    raise ConfigError(
        "The tensors' names are not those of a latent diffusion model or a first stage; "
        "choose another file, or put the model's config.yaml beside it."
    )


def _model(weights: Weights) -> ModelSpec:
    autoencoder = first_stage(weights, _FIRST_STAGE)
    text = text_transformer(weights)
    facts = unet(weights)
    known = next((p for p in PUBLISHED if p.unet == facts and p.text_depth == text.depth), None)
    if known is None:
        raise ConfigError(
            "The number of attention heads cannot be told from the weights, and this is none of the "
            f"published models. {_HOW}"
        )
    return ModelSpec(
        first_stage=autoencoder,
        unet=UNetSpec(
            in_channels=facts.in_channels,
            out_channels=facts.out_channels,
            model_channels=facts.model_channels,
            channel_mult=facts.channel_mult,
            num_res_blocks=facts.num_res_blocks,
            attention_resolutions=facts.attention_resolutions,
            context_dim=facts.context_dim,
            transformer_depth=facts.transformer_depth,
            pooled_context=facts.pooled_context,
            num_heads=known.num_heads,
        ),
        text=text,
        schedule=schedule(weights) or known.schedule,
        parameterization=known.parameterization,
        scale_factor=_scale_factor(weights) or known.scale_factor,
    )


def first_stage(weights: Weights, prefix: str) -> AutoencoderSpec:
    """The first stage whose tensors' names begin with `prefix`.

    Raises:
        ConfigError: its shapes contradict each other.
    """
    shape = _Shapes(weights, prefix)
    channels, stem, *_ = shape.of("encoder.conv_in.weight")
    patch_size = next((p for p in range(1, 17) if stem == 3 * p * p), 1)
    levels = shape.count("encoder.down")
    widths = [shape.of(f"encoder.down.{i}.block.0.conv1.weight")[0] for i in range(levels)]
    start = _RESOLUTION // patch_size
    codebook = "quantize.embedding.weight"
    return AutoencoderSpec(
        in_channels=stem // patch_size**2,
        out_channels=shape.of("decoder.conv_out.weight")[0] // patch_size**2,
        channels=channels,
        channel_mult=_multiples(widths, channels),
        num_res_blocks=shape.count("encoder.down.0.block"),
        attn_resolutions=tuple(start // 2**i for i in range(levels) if shape.count(f"encoder.down.{i}.attn")),
        resolution=_RESOLUTION,
        z_channels=shape.of("decoder.conv_in.weight")[1],
        embed_dim=shape.of("post_quant_conv.weight")[1],
        patch_size=patch_size,
        attention=f"{prefix}encoder.mid.attn_1.q.weight" in weights,
        n_embed=shape.of(codebook)[0] if prefix + codebook in weights else 0,
    )


def unet(weights: Weights) -> UNetFacts:
    """The UNet, without its heads.

    Raises:
        ConfigError: a kind that cannot be built, or its shapes contradict each other.
    """
    shape = _Shapes(weights, _UNET)
    model_channels, in_channels, *_ = shape.of("input_blocks.0.0.weight")
    widths: list[int] = [0]  # of each level
    blocks = [0]  # residual blocks of each level
    attention: list[int] = []
    context_dim, depth = 0, 1
    for i in range(1, shape.count("input_blocks")):
        block = f"input_blocks.{i}"
        if f"{_UNET}{block}.0.op.weight" in weights:
            widths.append(0)
            blocks.append(0)
            continue
        widths[-1] = shape.of(f"{block}.0.out_layers.3.weight")[0]
        blocks[-1] += 1
        if shape.of(f"{block}.0.emb_layers.1.weight")[0] != widths[-1]:
            raise _unsupported("scale-shift normalisation in its UNet")
        if f"{_UNET}{block}.1.qkv.weight" in weights:
            raise _unsupported("a UNet without cross-attention")
        if shape.count(f"{block}.1.transformer_blocks"):
            attention.append(2 ** (len(widths) - 1))
            depth = shape.count(f"{block}.1.transformer_blocks")
            context_dim = shape.of(f"{block}.1.transformer_blocks.0.attn2.to_k.weight")[1]
    if not context_dim:
        raise _unsupported("a UNet without cross-attention")
    if len(set(blocks)) != 1 or not blocks[0]:
        raise _unsupported("a UNet with unequal levels")
    return UNetFacts(
        in_channels=in_channels,
        out_channels=shape.of("out.2.weight")[0],
        model_channels=model_channels,
        channel_mult=_multiples(widths, model_channels),
        num_res_blocks=blocks[0],
        attention_resolutions=tuple(dict.fromkeys(attention)),
        context_dim=context_dim,
        transformer_depth=depth,
        pooled_context=f"{_UNET}context_embed.0.weight" in weights,
    )


def text_transformer(weights: Weights) -> TextSpec:
    """The text transformer.

    Raises:
        ConfigError: there is none.
    """
    if f"{_TEXT}token_emb.weight" not in weights:
        raise _unsupported("conditioning other than text, or none,")
    shape = _Shapes(weights, _TEXT)
    vocab_size, dim, *_ = shape.of("token_emb.weight")
    return TextSpec(
        dim=dim,
        depth=shape.count("attn_layers.layers") // 2,  # attention and feed-forward in turn
        vocab_size=vocab_size,
        max_length=shape.of("pos_emb.emb.weight")[0],
    )


def schedule(weights: Weights) -> ScheduleSpec | None:
    """The noise schedule of the `betas` buffer, or None where there is no such buffer.

    Raises:
        ConfigError: it is not linear in the square root of beta.
    """
    betas = weights.get("betas")
    if betas is None or betas.dim() != 1 or len(betas) < 2:
        return None
    values = betas.double()
    # The file's float32 is the rounded value of a short decimal number.
    start, end = (float(f"{float(v):.6g}") for v in (values[0], values[-1]))
    if not 0 < start <= end < 1:
        raise ConfigError(f"The checkpoint's noise schedule (betas) is damaged. {_HOW}")
    line = torch.linspace(start**0.5, end**0.5, len(values), dtype=torch.float64) ** 2
    if not torch.allclose(values, line, rtol=1e-3):
        raise _unsupported("another noise schedule than the linear one")
    return ScheduleSpec(num_timesteps=len(values), linear_start=start, linear_end=end)


def require_agreement(spec: ModelSpec | AutoencoderSpec, weights: Weights) -> None:
    """Compares a configuration with what the shapes tell, before anything of that size is built.

    Raises:
        ConfigError: naming the fact, what the configuration says and what the weights say.
    """
    whole = isinstance(spec, ModelSpec)
    if whole != (f"{_UNET}input_blocks.0.0.weight" in weights):
        described, found = ("a whole model", "a first stage") if whole else ("a first stage", "a whole model")
        raise ConfigError(
            f"The configuration describes {described}, but the weights are those of {found} alone."
        )
    if isinstance(spec, AutoencoderSpec):
        _compare("first stage", spec, first_stage(weights, ""), skip={"attn_resolutions", "resolution"})
        return
    autoencoder = first_stage(weights, _FIRST_STAGE)
    _compare("first stage", spec.first_stage, autoencoder, skip={"attn_resolutions", "resolution"})
    _compare("UNet", spec.unet, unet(weights), skip={"attention_resolutions"})
    _compare("text transformer", spec.text, text_transformer(weights), skip=set())
    found_schedule = schedule(weights)
    if found_schedule is not None:
        _compare("noise schedule", spec.schedule, found_schedule, skip=set())


Facts = AutoencoderSpec | UNetFacts | TextSpec | ScheduleSpec


def _compare(part: str, described: object, found: Facts, skip: set[str]) -> None:
    for field in fields(found):
        if field.name in skip:
            continue
        ours, theirs = getattr(described, field.name), getattr(found, field.name)
        same = abs(ours - theirs) <= 1e-4 * abs(theirs) if isinstance(theirs, float) else ours == theirs
        if not same:
            raise ConfigError(
                f"The configuration does not fit the weights: the {part}'s {field.name} is {ours} in the "
                f"configuration, but {theirs} in the weights. {_HOW}"
            )


class _Shapes:
    """Looks up shapes of the tensors below a prefix."""

    def __init__(self, weights: Weights, prefix: str) -> None:
        self.weights = weights
        self.prefix = prefix
        # "input_blocks.3.0.op.weight" is a child 3 of "input_blocks", a child 0 of "input_blocks.3", ...
        self._children: dict[str, set[int]] = {}
        for name in weights:
            if not name.startswith(prefix):
                continue
            words = name.removeprefix(prefix).split(".")
            for i, word in enumerate(words):
                if word.isdecimal() and len(word) <= 4:
                    self._children.setdefault(".".join(words[:i]), set()).add(int(word))

    def of(self, name: str) -> tuple[int, ...]:
        """The shape of a weight, at least two numbers but for vectors."""
        tensor = self.weights.get(self.prefix + name)
        if tensor is None or tensor.dim() < 2:
            raise ConfigError(
                f"The checkpoint has no {self.prefix}{name}, so what it is cannot be told; it is not "
                "of a known kind, or incomplete."
            )
        return tuple(tensor.shape)

    def count(self, name: str) -> int:
        """How many numbered children a module has."""
        return len(self._children.get(name, ()))


def _multiples(widths: list[int], base: int) -> tuple[int, ...]:
    if not widths or any(width < base or width % base for width in widths):
        raise _unsupported("levels whose channels are no multiples of the first one's")
    return tuple(width // base for width in widths)


def _scale_factor(weights: Weights) -> float | None:
    """The latent's scale, where training measured and stored it."""
    stored = weights.get("scale_factor")
    return float(stored) if stored is not None and stored.numel() == 1 else None


def _unsupported(what: str) -> ConfigError:
    return ConfigError(
        f"The model uses {what}, which cannot be loaded yet; text-to-image models and first stages can."
    )
