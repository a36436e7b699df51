"""The paper's text transformer as an encoder of chunks, of which it reads one: the rest is cut, and told."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ldm_core.conditioners.chunks import Chunk, Token
from ldm_core.conditioners.encoding import Row
from ldm_core.conditioners.tokenizer import Tokenizer
from ldm_core.prompts import Text


class TextEncoder:
    """As `encoding.Encoder`.  What is left out of a chunk is taken out of it."""

    def __init__(self, tokenizer: Tokenizer, module: nn.Module) -> None:
        self._tokenizer, self._module = tokenizer, module
        self._room = tokenizer.max_length - 2

    def chunks(self, text: Text) -> list[Chunk]:
        spans = enumerate(span for section in text.sections for span in section)
        tokens = (
            Token((piece,), span.weight, number)
            for number, span in spans
            for piece in self._tokenizer.pieces(span.text)
        )
        return [tuple(tokens)[: self._room]]

    def weights(self, chunk: Chunk) -> list[float]:
        return [1.0, *(token.weight for token in chunk), *[1.0] * (self._room + 1 - len(chunk))]

    def encode(self, rows: Sequence[Row]) -> tuple[list[Tensor], None]:
        ids = [
            self._tokenizer.framed(
                [t.ids[0] for t in row.chunk if row.without is None or t.fragment != row.without]
            )
            for row in rows
        ]
        device = next(self._module.parameters()).device
        return [self._module(torch.tensor(ids, device=device))], None
