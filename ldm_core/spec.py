"""What a latent diffusion model is made of, as plain data.  Imports no network and no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

Parameterization = Literal["eps", "v", "x0"]
# How a sampler's timesteps lie, see `schedule.timesteps`.
Spacing = Literal["trailing", "uniform", "linspace", "quadratic", "karras"]
ScheduleKind = Literal["scaled_linear", "linear", "cosine"]


@dataclass(frozen=True, slots=True)
class AutoencoderSpec:
    """First stage, KL- or VQ-regularized (paper, section 3.1 and Appendix G).

    `patch_size` is our extension of the published architecture: a space-to-depth stem, so that no
    convolution runs at full resolution.  1 is the published architecture.
    """

    in_channels: int
    out_channels: int
    channels: int  # width at the highest resolution ("ch")
    channel_mult: tuple[int, ...]
    num_res_blocks: int
    attn_resolutions: tuple[int, ...]
    resolution: int  # the training resolution that attn_resolutions refer to
    z_channels: int
    embed_dim: int
    patch_size: int = 1
    attention: bool = True  # False: none at all, also not in the middle ("attn_type: none")
    n_embed: int = 0  # entries of the codebook; 0: KL-regularized

    @property
    def downsampling(self) -> int:
        """The factor f between picture and latent."""
        return self.patch_size * 2 ** (len(self.channel_mult) - 1)


@dataclass(frozen=True, slots=True)
class UNetSpec:
    """The UNet (paper, section 3.2 and 3.3), with cross-attention where it is given a context.

    One of the two head fields is set; where both are, `num_head_channels` counts.
    """

    in_channels: int  # of the noisy latent and of what is concatenated to it
    out_channels: int
    model_channels: int
    channel_mult: tuple[int, ...]
    num_res_blocks: int
    attention_resolutions: tuple[int, ...]  # downsampling factors at which attention stands
    context_dim: int = 0  # 0: plain self-attention, no context
    transformer_depth: int | tuple[int, ...] = 1  # of all levels, or each; the last is the middle's too
    num_heads: int | None = None
    num_head_channels: int | None = None
    resblock_updown: bool = False  # residual blocks change the size, not single convolutions
    use_scale_shift_norm: bool = False  # the embedding of t scales and shifts, rather than being added
    # Our extension: the mean of the context is added to the embedding of t, as the later models of the
    # family do with a pooled prompt, so that every layer is told of the prompt as a whole.
    pooled_context: bool = False
    linear_projection: bool = False  # into and out of a transformer; else a 1x1 convolution
    cross_only: tuple[int, ...] = ()  # downsampling factors at which tokens never attend to each other
    # What joins the embedding of t (`Condition.vector`): a vector of so many numbers, or a noise level.
    vector_dim: int = 0
    num_noise_levels: int = 0
    # Our extension, as in `AutoencoderSpec`: space to depth before the first convolution, and back.
    patch_size: int = 1

    @property
    def downsampling(self) -> int:
        """The latent's height and width have to be multiples of this."""
        return self.patch_size * 2 ** (len(self.channel_mult) - 1)

    def depth(self, level: int) -> int:
        """Transformer blocks in a row at a level, counted from the highest resolution."""
        depth = self.transformer_depth
        return depth if isinstance(depth, int) else depth[level]

    def heads(self, channels: int) -> int:
        """Attention heads of a level of so many channels."""
        return channels // self.num_head_channels if self.num_head_channels else self.num_heads or 1


# Conditioners: what a person can give, and where it enters the UNet (paper, section 3.3).


@dataclass(frozen=True, slots=True)
class TextSpec:
    """A prompt -> cross-attention: a text transformer on BERT-style token ids (paper, Appendix E.2)."""

    dim: int
    depth: int
    vocab_size: int
    max_length: int


@dataclass(frozen=True, slots=True)
class ClipTower:
    """CLIP's text transformer (arXiv:2103.00020), trained before the diffusion model and kept as it was.

    OpenAI's and OpenCLIP's (`open_clip`) differ in the activation and in what prompts are padded with.
    `projection_dim`: of the pooled prompt; 0 where that is not used.
    """

    dim: int
    depth: int
    heads: int
    hidden_dim: int  # of the feed-forward layers
    vocab_size: int
    max_length: int
    open_clip: bool
    projection_dim: int = 0


@dataclass(frozen=True, slots=True)
class ClipSpec:
    """A prompt -> cross-attention, through one CLIP text transformer or several side by side.

    With `num_sizes` the last one's pooled prompt and so many numbers on the picture's size join the embedding
    of t (arXiv:2307.01952, section 2.2): height and width before scaling, top and left of the crop, then
    height and width again where there are six of them, or an aesthetic score where there are five.
    `penultimate`: the context is what the last layer but one gives, not normalised.
    `zero_empty`: an empty prompt is all zeros.
    """

    towers: tuple[ClipTower, ...]
    penultimate: bool = False
    num_sizes: int = 0
    zero_empty: bool = False

    @property
    def dim(self) -> int:
        return sum(tower.dim for tower in self.towers)


@dataclass(frozen=True, slots=True)
class ClassSpec:
    """A class -> cross-attention: one learned token for each class (paper, section 4.3.1)."""

    num_classes: int
    dim: int

    @property
    def no_class(self) -> int | None:
        """The class that stands for none in guidance: the last one of the published 1,001."""
        return 1000 if self.num_classes == 1001 else None


@dataclass(frozen=True, slots=True)
class LayoutSpec:
    """Labelled boxes -> cross-attention: a transformer on three tokens a box (paper, section 4.3.1).

    The last two of the `max_length` tokens are the crop.
    """

    dim: int
    depth: int
    vocab_size: int
    max_length: int

    @property
    def max_boxes(self) -> int:
        return (self.max_length - 2) // 3


@dataclass(frozen=True, slots=True)
class LabelMapSpec:
    """A class for every pixel -> concatenation.

    As published, the one-hot map is halved `halvings` times and mapped to `channels` by a learned 1x1
    convolution (paper, section 4.3.2).  Ours has neither (`channels` = 0): the one-hot map is averaged over
    the latent's cells.
    """

    num_classes: int
    channels: int = 0
    halvings: int = 0
    classes: tuple[str, ...] = ()  # their names, where the description gives them


@dataclass(frozen=True, slots=True)
class LowResolutionSpec:
    """A small picture, of the latent's height and width -> concatenation (paper, section 4.4).

    With a `noise` schedule it is noised to a level that the UNet is told of (arXiv:2106.15282, section 4).
    """

    channels: int = 3
    noise: ScheduleSpec | None = None


@dataclass(frozen=True, slots=True)
class MaskedImageSpec:
    """A picture with a hole -> concatenation: its latent, then the mask (paper, section 4.5).

    `mask_first`: as in Stable Diffusion, where the mask of 0 and 1 comes first and the hole is grey.
    """

    mask_first: bool = False


@dataclass(frozen=True, slots=True)
class KnownRegionSpec:
    """Ours.  A picture with a hole -> concatenation: its latent with the hole closed smoothly, then the share
    of each cell that is known."""


@dataclass(frozen=True, slots=True)
class BoxMapSpec:
    """Ours.  Labelled boxes -> concatenation: for each class the share of each cell that is covered."""

    classes: tuple[str, ...]


ContextSpec = TextSpec | ClipSpec | ClassSpec | LayoutSpec
ConcatSpec = LabelMapSpec | LowResolutionSpec | MaskedImageSpec | KnownRegionSpec | BoxMapSpec
ConditionerSpec = ContextSpec | ConcatSpec


def concat_channels(conditioner: ConcatSpec, embed_dim: int) -> int:
    """Channels that a conditioner adds to the UNet's input beside a latent of `embed_dim` channels."""
    match conditioner:
        case LabelMapSpec():
            return conditioner.channels or conditioner.num_classes
        case LowResolutionSpec():
            return conditioner.channels
        case BoxMapSpec():
            return len(conditioner.classes)
        case MaskedImageSpec() | KnownRegionSpec():
            return embed_dim + 1


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """Noise schedule.

    `kind` says what is linear from `linear_start` to `linear_end`: the square roots of the betas (the
    published models' "linear"), or the betas themselves.  "cosine" looks at neither.
    """

    num_timesteps: int
    linear_start: float
    linear_end: float
    kind: ScheduleKind = "scaled_linear"
    betas: tuple[float, ...] = ()  # given ones, `num_timesteps` of them, instead of a kind
    zero_terminal_snr: bool = False  # rescaled, so that nothing of x_0 is left in the last timestep


@dataclass(frozen=True, slots=True)
class RefinerSpec:
    """Ours.  A second UNet, an expert of the timesteps under `below` (arXiv:2211.01324).

    It takes and gives what the first one does.
    """

    unet: UNetSpec
    below: int


@dataclass(frozen=True, slots=True)
class LabelBitsSpec:
    """Ours.  A latent that goes on with its own label map, which is drawn together with the picture.

    Every cell's class is written in binary, each digit a channel of -scale or scale (analog bits,
    arXiv:2208.04202).  The larger the scale, the higher the noise up to which a class can be told: what is
    where is decided before what it looks like.  A label map that is given takes the place of the digits.
    """

    classes: tuple[str, ...]
    scale: float

    @property
    def count(self) -> int:
        """Digits of a class."""
        return max(1, (len(self.classes) - 1).bit_length())


TaskName = Literal[
    "text-to-image",
    "class",
    "layout",
    "semantic",
    "super-resolution",
    "inpaint",
    "unconditional",
    "image-to-image",
]
_TASKS: tuple[tuple[type, TaskName], ...] = (
    (TextSpec, "text-to-image"),
    (ClipSpec, "text-to-image"),
    (ClassSpec, "class"),
    (LayoutSpec, "layout"),
    (BoxMapSpec, "layout"),
    (LabelMapSpec, "semantic"),
    (LowResolutionSpec, "super-resolution"),
    (MaskedImageSpec, "inpaint"),
    (KnownRegionSpec, "inpaint"),
)


@dataclass(frozen=True, slots=True)
class Defaults:
    """How a model is asked for a picture where nobody says otherwise (`atelier:` in its description).

    width, height: pixels.
    guidance_end: share of the steps after which guidance is left out.
    first_stage: folder beside the model's own that holds its first stage, where several models share one.
    """

    title: str = ""
    description: str = ""
    licence: str = ""
    width: int = 256
    height: int = 256
    steps: int = 30
    guidance_scale: float = 2.5
    guidance_end: float = 1.0
    spacing: Spacing = "trailing"
    first_stage: str = ""


C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A whole latent diffusion model.

    `scale_factor` multiplies the first stage's latent; None: it was measured when the training began, and
    is in the checkpoint.  What is concatenated stands in the order of the conditioners.
    `class_prompts`, ours: (name, prompt) of classes that a model of prompts can be asked for.
    `half_first_stage`: the description says that float16 is enough for it (`first_stage_overflows`).
    """

    first_stage: AutoencoderSpec
    unet: UNetSpec
    conditioners: tuple[ConditionerSpec, ...]
    schedule: ScheduleSpec
    parameterization: Parameterization
    scale_factor: float | None
    label_bits: LabelBitsSpec | None = None
    refiner: RefinerSpec | None = None
    class_prompts: tuple[tuple[str, str], ...] = ()
    half_first_stage: bool = False

    @property
    def first_stage_overflows(self) -> bool:
        """Whether its activations exceed float16: those of Stable Diffusion XL and of the x4 upscaler do."""
        clip = self.conditioner(ClipSpec)
        published = bool(self.unet.num_noise_levels) or (clip is not None and clip.num_sizes > 0)
        return published and not self.half_first_stage

    @property
    def latent_channels(self) -> int:
        """Channels that are drawn: the first stage's, then the label map's."""
        return self.first_stage.embed_dim + (self.label_bits.count if self.label_bits else 0)

    @property
    def refined_below(self) -> int:
        """The refiner is asked at timesteps below this; 0 without one."""
        return self.refiner.below if self.refiner else 0

    @property
    def size_multiple(self) -> int:
        """A picture's width and height have to be multiples of this, in pixels."""
        refiner = self.refiner.unet.downsampling if self.refiner else 1
        return self.first_stage.downsampling * max(self.unet.downsampling, refiner)

    def conditioner(self, kind: type[C]) -> C | None:
        """The conditioner of a kind, where the model has one."""
        return next((one for one in self.conditioners if isinstance(one, kind)), None)

    @property
    def takes_prompts(self) -> bool:
        return any(isinstance(one, TextSpec | ClipSpec) for one in self.conditioners)

    @property
    def max_boxes(self) -> int | None:
        """How many boxes it takes; None: any number."""
        layout = self.conditioner(LayoutSpec)
        return layout.max_boxes if layout else None

    @property
    def fills_holes(self) -> bool:
        """Whether it was trained to; other models fill a hole by keeping the rest at every step."""
        return any(isinstance(one, MaskedImageSpec | KnownRegionSpec) for one in self.conditioners)

    @property
    def tasks(self) -> frozenset[TaskName]:
        """What the model can do.

        Those that are guided by prompts, or away from no class, were taught to do without.  Any model that
        makes whole pictures can also go on from one (image to image) and fill a hole by keeping the rest at
        every step; "inpaint" is native where a conditioner takes the hole.
        """
        if self.conditioner(LowResolutionSpec) is not None:
            return frozenset({"super-resolution"})
        own: set[TaskName] = {name for kind, name in _TASKS if self.conditioner(kind) is not None}
        if self.label_bits is not None:
            own.add("semantic")
        classes = self.conditioner(ClassSpec)
        if not self.conditioners or self.takes_prompts or (classes and classes.no_class is not None):
            own.add("unconditional")
        if self.class_prompts:
            own.add("class")
        if not own <= {"super-resolution", "inpaint"}:
            own |= {"inpaint", "image-to-image"}
        return frozenset(own)
