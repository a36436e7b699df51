"""A prompt, through CLIP's text transformers, which were trained before the diffusion model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ldm_core.conditioners.base import (
    COND_STAGE,
    Examples,
    Found,
    Model,
    Size,
    Tokenize,
    Tokens,
    token_ids,
    without_vocabulary,
)
from ldm_core.conditioners.cond import Cond
from ldm_core.conditioners.inputs import Inputs, phrase_of, text_of
from ldm_core.errors import ConfigError, RequestError
from ldm_core.facts import Section, Shapes, either
from ldm_core.spec import ClipTower, TaskName

if TYPE_CHECKING:
    from torch import Tensor, nn
    from typing_extensions import Self

    from ldm_core.conditioners.clip_encoder import ClipEncoder

EMBEDDERS = f"{COND_STAGE}.embedders."
_CLIP = either("modules.encoders.modules.FrozenCLIPEmbedder")
_OPEN_CLIP = either("modules.encoders.modules.FrozenOpenCLIPEmbedder")
_OPEN_CLIP_2 = either("modules.encoders.modules.FrozenOpenCLIPEmbedder2")
_SIZE = either("modules.encoders.modules.ConcatTimestepEmbedderND")
_SEVERAL = either("modules.GeneralConditioner")

# Sizes of the encoders that the published configurations name: ViT-L/14, ViT-H/14 without its last block,
# ViT-bigG/14.
_VIT_L = ClipTower(768, 12, 12, 3072, 49_408, 77, open_clip=False)
_VIT_H = ClipTower(1024, 23, 16, 4096, 49_408, 77, open_clip=True)
_VIT_BIG_G = ClipTower(1280, 32, 20, 5120, 49_408, 77, open_clip=True, projection_dim=1280)
# The numbers on the picture's size, in the order that the base and the refiner take them.
_SIZES: tuple[tuple[str, ...], ...] = (
    ("original_size_as_tuple", "crop_coords_top_left", "target_size_as_tuple"),
    ("original_size_as_tuple", "crop_coords_top_left", "aesthetic_score"),
)
_FILES = "vocab.json and merges.txt"
_HEAD_DIM = 64  # of CLIP, OpenAI's and OpenCLIP's, at all sizes
_SIZE_CHANNELS = 256  # of the sinusoids that each number on the picture's size becomes


@dataclass(frozen=True, slots=True)
class ClipSpec(Tokens):
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

    takes = "prompt"
    names = _CLIP | _OPEN_CLIP | _SEVERAL
    takes_prompts = True
    weighs_words = True

    @property
    def tasks(self) -> frozenset[TaskName]:
        return frozenset({"text-to-image", "unconditional"})

    @property
    def dim(self) -> int:
        """Numbers of a token; configurations do not give the towers' sizes, so only weights tell."""
        return sum(tower.dim for tower in self.towers)

    @property
    def context_dim(self) -> None:
        return None

    @property
    def vector(self) -> Literal["", "sizes"]:
        return "sizes" if self.num_sizes else ""

    @classmethod
    def read(cls, name: str, params: Section) -> ClipSpec:
        if name in _SEVERAL:
            return _read_several(params)
        if name in _OPEN_CLIP:
            params.choice("layer", ("penultimate",), "penultimate")
            return cls((_VIT_H,))
        hidden = params.choice("layer", ("last", "hidden"), "last") == "hidden"
        if hidden and params.values.get("layer_idx") not in (11, -2):
            raise params.wrong("layer_idx", "11 or -2, the last layer but one")
        return cls((_VIT_L,), penultimate=hidden)

    @classmethod
    def recognise(cls, found: Found) -> ClipSpec | None:
        prefix = Shapes(found.weights, EMBEDDERS)
        towers = tuple(_found_tower(found, i) for i in range(prefix.count("")))
        if not towers:
            return None
        vector_dim = found.unet.vector_dim
        num_sizes = (vector_dim - towers[-1].projection_dim) // _SIZE_CHANNELS if vector_dim else 0
        last = towers[-1] if num_sizes else replace(towers[-1], projection_dim=0)
        # Only the last one's pooled prompt is used.
        return cls(
            (*(replace(tower, projection_dim=0) for tower in towers[:-1]), last),
            penultimate=num_sizes > 0,
            num_sizes=max(num_sizes, 0),
            zero_empty=num_sizes > 0 and len(towers) > 1,
        )

    def completed(self, found: Self) -> Self:
        """The sizes of the towers, which configurations name but do not give."""
        ours, theirs = (["OpenCLIP" if t.open_clip else "CLIP" for t in c.towers] for c in (self, found))
        if (ours, self.num_sizes) != (theirs, found.num_sizes):
            raise ConfigError(
                f"The configuration does not fit the weights: it has {' and '.join(ours)} with "
                f"{self.num_sizes} numbers on the size, the weights {' and '.join(theirs)} with "
                f"{found.num_sizes}. Put the model's own config.yaml beside the file."
            )
        return replace(found, penultimate=self.penultimate or found.penultimate)

    def find_tokenizer(
        self, places: tuple[tuple[Path, ...], ...], elsewhere: Callable[[], Path | None]
    ) -> Tokenize | None:
        from ldm_core.conditioners.clip_tokenizer import ClipTokenizer, has_vocabulary

        each = (*places, *[places[-1]] * len(self.towers))[: len(self.towers)]
        folders = [next((place for place in those if has_vocabulary(place)), None) for those in each]
        other = elsewhere() if None in folders else None
        found = [folder or other for folder in folders]
        return None if None in found else ClipTokenizer([folder for folder in found if folder], self)

    @property
    def published_tokenizer(self) -> str:
        return "CLIP" if all(tower.vocab_size == _VIT_L.vocab_size for tower in self.towers) else ""

    def build(self) -> nn.Module:
        from ldm_core.nn.clip import ClipText

        return ClipText(self.towers, normalized=not self.penultimate)

    def prepare(self, inputs: Sequence[Inputs], size: Size, model: Model) -> Tensor:
        return token_ids(model, [text_of(each.prompt) for each in inputs], _FILES)

    def encode(self, inputs: Sequence[Inputs], size: Size, model: Model) -> Cond:
        import torch

        from ldm_core.conditioners.encoding import ROWS, encode

        phrases = [phrase_of(each.prompt) for each in inputs]
        encoder, at_once = self._encoder(inputs[0].clip_skip, model), 1 if model.in_pieces else ROWS
        tokens, pooled = encode(phrases, inputs[0].weighting, encoder, at_once)
        assert pooled is not None
        if self.zero_empty:
            said = torch.tensor([not phrase.is_empty for phrase in phrases], device=model.device)[:, None]
            tokens, pooled = tokens * said[..., None], pooled * said
        if not self.num_sizes:
            return Cond(context=tokens)
        sizes = self._sizes(inputs, size, model)
        return Cond(context=tokens, vector=torch.cat([pooled.float(), sizes], dim=1))

    def _encoder(self, clip_skip: int, model: Model) -> ClipEncoder:
        """
        Raises:
            RequestError: it has not so many layers.
            ConfigError: the model came without its vocabulary.
        """
        from ldm_core.conditioners.clip_encoder import ClipEncoder
        from ldm_core.conditioners.clip_tokenizer import ClipTokenizer
        from ldm_core.nn.clip import ClipText

        most = min(tower.depth for tower in self.towers)
        if clip_skip > most:
            raise RequestError("clip_skip", clip_skip, f"at most {most} with this model")
        module, tokenizer = model.get_submodule(COND_STAGE), model.tokenizer
        assert isinstance(module, ClipText)
        if not isinstance(tokenizer, ClipTokenizer):
            raise without_vocabulary(_FILES)
        layer = max(clip_skip, 2 if self.penultimate else 1)
        return ClipEncoder(tokenizer, self.towers, module, layer, model.embeddings)

    def _sizes(self, inputs: Sequence[Inputs], size: Size, model: Model) -> Tensor:
        """(b, num_sizes * 256), the numbers on the picture's size."""
        import torch

        from ldm_core.nn.unet import timestep_embedding

        height, width = (cells * model.spec.first_stage.downsampling for cells in size)
        rows = [
            (height, width, 0, 0, *((height, width) if self.num_sizes == 6 else (each.aesthetic_score,)))
            for each in inputs
        ]
        numbers = torch.tensor(rows, dtype=torch.float32, device=model.device)
        return timestep_embedding(numbers.flatten(), _SIZE_CHANNELS).view(len(rows), -1)

    def without(self, inputs: Inputs) -> Inputs:
        if inputs.prompt == inputs.negative_prompt:
            return inputs
        return replace(inputs, prompt=inputs.negative_prompt, aesthetic_score=inputs.negative_aesthetic_score)

    def draw(
        self, examples: Examples, keep: NDArray[np.bool_], size: Size, rng: np.random.Generator
    ) -> Tensor:
        raise ConfigError("Models with CLIP's text encoder cannot be trained here.")


def has_clip(found: Found) -> bool:
    return any(name.startswith(EMBEDDERS) for name in found.weights)


def _found_tower(found: Found, index: int) -> ClipTower:
    open_clip = any(name.startswith(f"{EMBEDDERS}{index}.model.") for name in found.weights)
    shape = Shapes(found.weights, f"{EMBEDDERS}{index}.{'model' if open_clip else 'transformer'}.")
    vocab_size, dim = shape.of("text_model.embeddings.token_embedding.weight")
    projection = "text_projection.weight"
    return ClipTower(
        dim=dim,
        depth=shape.count("text_model.encoder.layers"),
        heads=max(dim // _HEAD_DIM, 1),
        hidden_dim=shape.of("text_model.encoder.layers.0.mlp.fc1.weight")[0],
        vocab_size=vocab_size,
        max_length=shape.of("text_model.embeddings.position_embedding.weight")[0],
        open_clip=open_clip,
        projection_dim=shape.of(projection)[0] if projection in shape else 0,
    )


def _read_several(params: Section) -> ClipSpec:
    """The text encoders and the numbers beside them, in the schema of Stable Diffusion XL."""
    models = params.values.get("emb_models")
    if not isinstance(models, list) or len(models) > 8:
        raise params.wrong("emb_models", "a list of the conditioners")
    towers: list[ClipTower] = []
    sizes: list[str] = []
    for i, model in enumerate(models):
        section = Section(model, f"{params.place}.emb_models[{i}]")
        section.target(_CLIP | _OPEN_CLIP_2 | _SIZE)
        nested = section.section("params")
        if section.has_target(_SIZE):
            nested.only(frozenset(), {"outdim": (_SIZE_CHANNELS,)})
            sizes.append(section.choice("input_key", tuple({name for row in _SIZES for name in row}), ""))
            continue
        section.choice("input_key", ("txt",), "txt")
        towers.append(_read_tower(nested, open_clip=section.has_target(_OPEN_CLIP_2)))
    if tuple(sizes) not in _SIZES or not towers or not towers[-1].open_clip:
        raise params.wrong(
            "emb_models",
            "FrozenOpenCLIPEmbedder2 (of the base, after FrozenCLIPEmbedder), then "
            + " or ".join(", ".join(row) for row in _SIZES),
        )
    return ClipSpec(
        tuple(towers),
        penultimate=True,
        num_sizes=5 if "aesthetic_score" in sizes else 6,
        zero_empty=len(towers) > 1,
    )


def _read_tower(params: Section, *, open_clip: bool) -> ClipTower:
    if not open_clip:
        params.only(
            frozenset({"version", "freeze", "device"}),
            {"layer": ("hidden",), "layer_idx": (11,), "max_length": (77,)},
        )
        params.choice("layer", ("hidden",), "")
        return _VIT_L
    params.only(
        frozenset({"version", "freeze", "device"}),
        {
            "arch": ("ViT-bigG-14",),
            "layer": ("penultimate",),
            "always_return_pooled": (True,),
            "legacy": (False,),
            "max_length": (77,),
        },
    )
    params.choice("layer", ("penultimate",), "")
    return _VIT_BIG_G
