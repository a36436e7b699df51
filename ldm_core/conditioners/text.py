"""A prompt, through a transformer that is trained with the UNet (paper, Appendix E.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

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
from ldm_core.errors import ConfigError
from ldm_core.facts import Section, Shapes
from ldm_core.spec import TaskName

if TYPE_CHECKING:
    from torch import Tensor, nn
    from typing_extensions import Self

BERT = "ldm.modules.encoders.modules.BERTEmbedder"
_BERT_TOKENS = 30_522


@dataclass(frozen=True, slots=True)
class TextSpec(Tokens):
    """A prompt -> cross-attention: a text transformer on BERT-style token ids."""

    dim: int
    depth: int
    vocab_size: int
    max_length: int

    takes = "prompt"
    names = frozenset({BERT})
    title = "text transformer"
    takes_prompts = True
    weighs_words = True

    @property
    def tasks(self) -> frozenset[TaskName]:
        return frozenset({"text-to-image", "unconditional"})

    @property
    def context_dim(self) -> int:
        return self.dim

    @classmethod
    def read(cls, name: str, params: Section) -> TextSpec | None:
        # The published transformer without a tokenizer is given the tokens of a layout.
        return None if params.values.get("use_tokenizer") is False else cls(*read_transformer(params))

    @classmethod
    def recognise(cls, found: Found) -> TextSpec | None:
        """A transformer is taken for one on text; shapes do not tell it from one on layouts."""
        sizes = transformer_sizes(found)
        return cls(*sizes) if sizes else None

    def find_tokenizer(
        self, places: tuple[tuple[Path, ...], ...], elsewhere: Callable[[], Path | None]
    ) -> Tokenize | None:
        from ldm_core.conditioners.tokenizer import Tokenizer, bert_vocabulary

        file = next((file for place in places[0] if (file := bert_vocabulary(place))), None)
        if file is None and (folder := elsewhere()) is not None:
            file = bert_vocabulary(folder)
        if file is None:
            return None
        tokenizer = Tokenizer(file, self.max_length)
        if tokenizer.vocab_size > self.vocab_size:
            raise ConfigError(
                f"The vocabulary has {tokenizer.vocab_size} tokens, the model {self.vocab_size}. "
                "Put the vocab.txt that the model was trained with beside it."
            )
        return tokenizer

    @property
    def published_tokenizer(self) -> str:
        return "BERT" if self.vocab_size == _BERT_TOKENS else ""

    def build(self) -> nn.Module:
        return build_transformer(self.dim, self.depth, self.vocab_size, self.max_length)

    def prepare(self, inputs: Sequence[Inputs], size: Size, model: Model) -> Tensor:
        return token_ids(model, [text_of(each.prompt) for each in inputs], "vocab.txt")

    def encode(self, inputs: Sequence[Inputs], size: Size, model: Model) -> Cond:
        from ldm_core.conditioners.encoding import ROWS, encode
        from ldm_core.conditioners.text_encoder import TextEncoder
        from ldm_core.conditioners.tokenizer import Tokenizer

        if all(isinstance(each.prompt, str) for each in inputs):
            return Tokens.encode(self, inputs, size, model)
        if not isinstance(model.tokenizer, Tokenizer):
            raise without_vocabulary("vocab.txt")
        encoder = TextEncoder(model.tokenizer, model.get_submodule(COND_STAGE))
        phrases = [phrase_of(each.prompt) for each in inputs]
        return Cond(context=encode(phrases, inputs[0].weighting, encoder, 1 if model.in_pieces else ROWS)[0])

    def without(self, inputs: Inputs) -> Inputs:
        same = inputs.prompt == inputs.negative_prompt
        return inputs if same else replace(inputs, prompt=inputs.negative_prompt)

    def draw(
        self, examples: Examples, keep: NDArray[np.bool_], size: Size, rng: np.random.Generator
    ) -> Tensor:
        return examples.tokens(keep, rng)

    def with_vocabulary(self, vocab_size: int) -> Self:
        return replace(self, vocab_size=vocab_size)


def read_transformer(params: Section) -> tuple[int, int, int, int]:
    """Width, layers, tokens of the vocabulary and of a sequence.

    Raises:
        ConfigError: a fact is missing or wrong.
    """
    params.only(
        frozenset({"n_embed", "n_layer", "vocab_size", "max_seq_len"})
        | {"use_tokenizer", "device", "embedding_dropout"},
        {},
    )
    return (
        params.whole("n_embed", 1, 8192),
        params.whole("n_layer", 1, 128),
        params.whole("vocab_size", 1, 1_000_000, _BERT_TOKENS),
        params.whole("max_seq_len", 2, 4096, 77),
    )


def transformer_sizes(found: Found) -> tuple[int, int, int, int] | None:
    """As `read_transformer`, by shapes; None where there is no transformer on token ids."""
    shape = Shapes(found.weights, f"{COND_STAGE}.transformer.")
    if "token_emb.weight" not in shape:
        return None
    vocab_size, dim, *_ = shape.of("token_emb.weight")
    depth = shape.count("attn_layers.layers") // 2  # attention and feed-forward in turn
    return dim, depth, vocab_size, shape.of("pos_emb.emb.weight")[0]


def build_transformer(dim: int, depth: int, vocab_size: int, max_length: int) -> nn.Module:
    from ldm_core.nn.text import TextTransformer

    return TextTransformer(dim, depth, vocab_size, max_length)
