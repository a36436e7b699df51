"""What a conditioner is: something that a person can give, and its way into the UNet (paper, section 3.3)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ldm_core.conditioners.cond import Cond
from ldm_core.conditioners.embeddings import Embeddings
from ldm_core.conditioners.inputs import Inputs
from ldm_core.errors import ConfigError, RequestError
from ldm_core.facts import Section, Weights
from ldm_core.model_spec import ModelSpec
from ldm_core.prompts import Phrase
from ldm_core.spec import AutoencoderSpec, DenoiserSpec, TaskName

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from typing_extensions import Self

Size = tuple[int, int]  # height and width of the latent
Tokenize = Callable[[Sequence[str]], "Tensor"]  # prompts -> token ids, int64

COND_STAGE = "cond_stage_model"  # the published checkpoints' name for a conditioner's network


class Model(Protocol):
    """What a conditioner asks of the model that it is part of."""

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def tokenizer(self) -> Tokenize | None: ...

    @property
    def embeddings(self) -> Embeddings | None:
        """That a prompt may name."""

    @property
    def in_pieces(self) -> bool:
        """Whether what it is given is encoded one after the other, as memory is short."""

    def encode(self, image: Tensor, /) -> Tensor:
        """(b, 3, H, W) in [-1, 1] -> (b, c, h, w), the scaled latent."""

    def get_submodule(self, target: str, /) -> nn.Module: ...


class Examples(Protocol):
    """Pictures that a model is trained on, and what is known of them."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: NDArray[np.bool_], /) -> Examples: ...

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def z(self) -> Tensor:
        """(b, c, h, w), what is to be drawn."""

    @property
    def class_ids(self) -> list[int]: ...

    @property
    def images(self) -> Tensor:
        """(b, 3, H, W) in [-1, 1]."""

    @property
    def labels(self) -> Tensor:
        """(b, H, W) uint8, class ids, 255 where nothing is said."""

    @property
    def boxes(self) -> Tensor:
        """(b, n, 5) float32: class id, or -1 for no box, then x0, y0, x1, y1 in [0, 1]."""

    def tokens(self, keep: NDArray[np.bool_], rng: np.random.Generator, /) -> Tensor:
        """(b, n) token ids of captions, in one wording of many; of the empty prompt where not kept."""

    def parts(self, size: tuple[int, int], rng: np.random.Generator, /) -> Tensor:
        """(b, height, width) bool: of a third a part, as a person paints it, of the others the whole."""

    def holed(self, rng: np.random.Generator, /) -> tuple[Tensor, Tensor]:
        """Pictures (b, 3, H, W) in [-1, 1], and random holes in them (b, 1, H, W)."""

    def known_regions(self, rng: np.random.Generator, /) -> Tensor | None:
        """(b, c + 1, h, w), computed before; None where holes are drawn anew."""

    def low_res(self, height: int, rng: np.random.Generator, /) -> Tensor:
        """(b, 3, h, w) in [-1, 1], made small and worse as pictures are met with."""

    def encode(self, images: Tensor, /) -> Tensor:
        """(b, 3, H, W) -> (b, c, h, w) float32."""

    def hole_weights(self, known: Tensor, /) -> Tensor:
        """Which cells are known, (b, 1, h, w) bool -> (b, 1, h, w), how much each cell's error counts."""

    def class_weights(self, said: Tensor, /) -> Tensor:
        """Where the label map is given, (b, 1, h, w) bool -> (b, 1, h, w): rare classes count more there."""


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint's tensors, and what they have already told.

    Attributes:
        weights: under our names; shapes alone count.
        beside: channels of the UNet's input beside the latent that are not yet accounted for.
    """

    weights: Weights
    first_stage: AutoencoderSpec
    unet: DenoiserSpec
    beside: int


class Conditioner(ABC):
    """Subclasses are frozen dataclasses, one a file; `CONDITIONERS` (`__init__.py`) is the table of all.

    They describe models before torch is there, so what computes imports torch when it is called.

    Attributes:
        takes: what is given, by its name in a training's `dropout`.
        way: into the UNet, as a configuration's `conditioning_key` says it; "latent": x_t itself goes on with
            what is drawn together with the picture.
        names: how a configuration calls it: `target` or word of `cond_stage_config`, entry of
            `concat_conditions`, key of a section, or the `target` of a model that has it.
        title: in messages.
        takes_prompts, weighs_words: prompts as texts, and as phrases with weights as well.
    """

    __slots__ = ()

    takes: ClassVar[str]
    way: ClassVar[Literal["crossattn", "concat", "latent"]]
    names: ClassVar[frozenset[str]]
    title: ClassVar[str] = "conditioner"
    takes_prompts: ClassVar[bool] = False
    weighs_words: ClassVar[bool] = False
    fills_holes: ClassVar[bool] = False

    # What a model with it is.

    @property
    @abstractmethod
    def tasks(self) -> frozenset[TaskName]:
        """What it makes a model able to do; "unconditional" where nothing needs to be given."""

    @property
    def droppable(self) -> bool:
        """Whether a model can learn to do without what it takes."""
        return True

    @property
    def context_dim(self) -> int | None:
        """Numbers of a token for cross-attention; 0: it gives none, None: the weights have to tell."""
        return 0

    @property
    def vector(self) -> Literal["", "sizes", "noise level"]:
        """What joins the embedding of t."""
        return ""

    @property
    def latent_channels(self) -> int:
        """Channels by which the latent that is drawn goes on."""
        return 0

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes that can be given, where they are known."""
        return ()

    @property
    def class_count(self) -> int:
        """How many classes can be given."""
        return len(self.class_names)

    @property
    def max_boxes(self) -> int | None:
        """How many boxes can be given; None: any number."""
        return None

    def concat_channels(self, embed_dim: int) -> int:
        """Channels that are concatenated to a latent of `embed_dim` channels."""
        return 0

    # How it is recognised.

    @classmethod
    @abstractmethod
    def read(cls, name: str, params: Section) -> Self | None:
        """As a configuration describes it, by one of `names`; None where it means another kind.

        Raises:
            ConfigError: a fact is missing or wrong.
        """

    @classmethod
    def recognise(cls, found: Found) -> Self | None:
        """As the tensors tell; None where there is none."""
        return None

    def completed(self, found: Self) -> Self:
        """With what configurations name but do not give, as found in the weights.

        Raises:
            ConfigError: it is another one.
        """
        return self

    def check(self, spec: ModelSpec, place: str) -> None:
        """Refuses a model that it does not fit.

        Raises:
            ConfigError: naming both sides.
        """
        dim = spec.unet.context_dim
        if self.context_dim and self.context_dim != dim:
            raise ConfigError(
                f"{place}: the {self.title} gives {self.context_dim} numbers a token, but the UNet's "
                f"context_dim is {dim or 'not given'}; they have to be equal."
            )

    def prompt_notes(self, tokenizer: Tokenize, phrase: Phrase) -> str:
        """Sentences about what of a prompt is not read as it stands there; "" if all is."""
        return ""

    @property
    def published_tokenizer(self) -> str:
        """Which of the published tokenizers it was trained with ("BERT", "CLIP"); empty: one of its own."""
        return ""

    def find_tokenizer(
        self, places: tuple[tuple[Path, ...], ...], elsewhere: Callable[[], Path | None]
    ) -> Tokenize | None:
        """The tokenizer whose files lie with the model, else elsewhere.

        Args:
            places: for each text encoder the folders where one may lie; the last is for all that follow.

        Raises:
            ConfigError: damaged, or not the one that the model was trained with.
        """
        return None

    # From what is given to what the UNet takes.

    @property
    def module_name(self) -> str:
        """Where the model holds its network, as in published checkpoints; empty without one."""
        return ""

    def build(self) -> nn.Module:
        """Its network; asked for where there is a `module_name`."""
        raise NotImplementedError

    def encode(self, inputs: Sequence[Inputs], size: Size, model: Model) -> Cond:
        """What enters the UNet, for each picture of a batch.

        Raises:
            RequestError: something is not given that the model cannot do without.
            ConfigError: the model came without its vocabulary.
        """
        import torch

        module = model.get_submodule(self.module_name) if self.module_name else None
        prepared = self.prepare(inputs, size, model).to(model.device)
        rows = torch.split(prepared, 1) if module is not None and model.in_pieces else (prepared,)
        return Cond.cat([self.enter(row, module) for row in rows])

    @abstractmethod
    def prepare(self, inputs: Sequence[Inputs], size: Size, model: Model) -> Tensor:
        """(b, ...), what its network takes; without one what enters the UNet itself."""

    @abstractmethod
    def enter(self, prepared: Tensor, module: nn.Module | None) -> Cond:
        """From what `prepare` and `draw` give to the UNet."""

    def without(self, inputs: Inputs) -> Inputs:
        """What guidance goes away from: without what it takes, if the model learnt to do without.

        The same object where nothing changes.
        """
        return inputs

    # Training.

    @abstractmethod
    def draw(
        self, examples: Examples, keep: NDArray[np.bool_], size: Size, rng: np.random.Generator
    ) -> Tensor:
        """As `prepare` of what a person might give with the examples, and of nothing where not kept."""

    def with_vocabulary(self, vocab_size: int) -> Self:
        """For a vocabulary of so many tokens, which a training's captions decide."""
        return self

    def latent(self, labels: Tensor, size: Size) -> Tensor:
        """(b, H, W) class ids -> (b, n, h, w), what the latent goes on with, of `latent_channels`."""
        raise NotImplementedError

    def drawn(self, prepared: Tensor, channels: int) -> Tensor | None:
        """(b, channels, h, w), 0 where the latent is given, and not to be drawn; None: nowhere."""
        return None

    def focus(self, prepared: Tensor, examples: Examples) -> Tensor | None:
        """(b, 1, h, w), how much each cell's error counts by what is given; None: all alike."""
        return None


class Tokens(Conditioner):
    """Tokens for cross-attention, from a network of its own."""

    __slots__ = ()
    way = "crossattn"

    @property
    def module_name(self) -> str:
        return COND_STAGE

    def enter(self, prepared: Tensor, module: nn.Module | None) -> Cond:
        assert module is not None
        return Cond(context=module(prepared))


class Plane(Conditioner):
    """Channels in the picture's plane, concatenated to x_t."""

    __slots__ = ()
    way = "concat"

    def prepared_channels(self, embed_dim: int) -> int:
        """Channels of a plane; with a network, of what that takes."""
        return self.concat_channels(embed_dim)

    def enter(self, prepared: Tensor, module: nn.Module | None) -> Cond:
        return Cond(concat=prepared)

    def prepare(self, inputs: Sequence[Inputs], size: Size, model: Model) -> Tensor:
        import torch

        return torch.cat([self.plane(each, size, model).to(model.device) for each in inputs])

    @abstractmethod
    def plane(self, inputs: Inputs, size: Size, model: Model) -> Tensor:
        """(1, c, h, w) for one picture."""

    def draw(
        self, examples: Examples, keep: NDArray[np.bool_], size: Size, rng: np.random.Generator
    ) -> Tensor:
        import torch

        channels = self.prepared_channels(examples.spec.first_stage.embed_dim)
        planes = torch.zeros(len(examples), channels, *size)
        if keep.any():
            planes[torch.from_numpy(keep)] = self.draw_planes(examples[keep], size, rng)
        return planes

    @abstractmethod
    def draw_planes(self, examples: Examples, size: Size, rng: np.random.Generator) -> Tensor:
        """(b, c, h, w)."""


T = TypeVar("T")


def needed(field: str, value: T | None) -> T:
    """What a model cannot do without.

    Raises:
        RequestError: it is not given.
    """
    if value is None:
        raise RequestError(field, None, "given, as this model cannot do without it")
    return value


def token_ids(model: Model, prompts: Sequence[str], files: str) -> Tensor:
    """Token ids of prompts.

    Raises:
        ConfigError: the model came without its vocabulary, which lies in `files`.
    """
    if model.tokenizer is None:
        raise without_vocabulary(files)
    return model.tokenizer(prompts)


def without_vocabulary(files: str) -> ConfigError:
    return ConfigError(f"This model came without its vocabulary; put its {files} beside the file.")
