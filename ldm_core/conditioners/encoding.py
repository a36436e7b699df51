"""Phrases through a text encoder that reads in chunks: weights, blends, and texts of any length."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ldm_core.conditioners.chunks import Chunk
from ldm_core.conditioners.weighting import RULES, share_without
from ldm_core.prompts import Blend, Joined, Phrase, Text, Weighting, texts_of, unreadable

ROWS = 32  # chunks that are encoded at once, where memory is not short
_MAX_ROWS = 256
_EMPTY: Chunk = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A chunk to be encoded.  without: the fragment that is left out."""

    chunk: Chunk
    without: int | None = None


class Encoder(Protocol):
    def chunks(self, text: Text) -> list[Chunk]:
        """At least one."""

    def encode(self, rows: Sequence[Row]) -> tuple[list[Tensor], Tensor | None]:
        """For each of the encoders side by side (b, n, d), and the pooled prompt (b, d) if there is one."""

    def weights(self, chunk: Chunk) -> list[float]:
        """Of all n tokens of a chunk's encoding."""


def encode(
    phrases: Sequence[Phrase], weighting: Weighting, encoder: Encoder, at_once: int = ROWS
) -> tuple[Tensor, Tensor | None]:
    """(b, n, d) and the pooled prompts (b, d); shorter ones go on with chunks of the empty prompt.

    Args:
        at_once: chunks in one call of the encoder.

    Raises:
        PromptError: a phrase is too long.
    """
    chunks = [[encoder.chunks(text) for text in texts_of(phrase)] for phrase in phrases]
    most = max(_length(phrase, texts) for phrase, texts in zip(phrases, chunks, strict=True))
    for phrase, texts in zip(phrases, chunks, strict=True):
        for text in texts[-1:] if isinstance(phrase, Joined) else texts:
            text += [_EMPTY] * (most - _length(phrase, texts))
    found = _Encoded(encoder, weighting, [text for texts in chunks for text in texts], at_once)
    rows = [_put_together(phrase, [found.next() for _ in texts]) for phrase, texts in zip(phrases, chunks)]
    pooled = [row[1] for row in rows if row[1] is not None]
    return torch.stack([row[0] for row in rows]), torch.stack(pooled) if pooled else None


def _length(phrase: Phrase, chunks: Sequence[Sequence[Chunk]]) -> int:
    lengths = [len(text) for text in chunks]
    return sum(lengths) if isinstance(phrase, Joined) else max(lengths)


Encoding = tuple[Tensor, Tensor | None]  # (n, d), (d,)


def _put_together(phrase: Phrase, parts: Sequence[Encoding]) -> Encoding:
    if isinstance(phrase, Joined):
        return torch.cat([tokens for tokens, _ in parts]), parts[0][1]
    if not isinstance(phrase, Blend):
        return parts[0]
    weights = [weight for _, weight in phrase.parts]
    total = sum(weights) if phrase.normalized else 1.0
    tokens = sum((w / total * z for w, (z, _) in zip(weights, parts)), torch.zeros_like(parts[0][0]))
    pooled = [w / total * p for w, (_, p) in zip(weights, parts) if p is not None]
    return tokens, torch.stack(pooled).sum(0) if pooled else None


class _Encoded:
    """Texts, encoded in as few calls as there can be; given back one after the other."""

    def __init__(
        self, encoder: Encoder, weighting: Weighting, texts: Sequence[Sequence[Chunk]], at_once: int
    ) -> None:
        self._encoder, self._rule = encoder, RULES[weighting]
        self._texts = iter(texts)
        self._rows = [row for text in texts for row in self._rows_of(text)]
        is_weighted = any(token.weight != 1 for text in texts for chunk in text for token in chunk)
        self._takes_empty = self._rule.takes_empty and is_weighted
        rows = [*self._rows, *([Row(_EMPTY)] if self._takes_empty else [])]
        if len(rows) > _MAX_ROWS:
            raise unreadable(f"it takes {len(rows)} encodings; {_MAX_ROWS} are the most.")
        parts = [encoder.encode(rows[i : i + at_once]) for i in range(0, len(rows), at_once)]
        self._tokens = [torch.cat(column) for column in zip(*(tokens for tokens, _ in parts))]
        pooled = [vector for _, vector in parts if vector is not None]
        self._pooled = torch.cat(pooled) if pooled else None
        self._at = 0

    def _rows_of(self, text: Sequence[Chunk]) -> list[Row]:
        rows = [Row(chunk) for chunk in text]
        if self._rule.leaves_out:
            rows += [Row(chunk, fragment) for fragment, _ in _lowered(text) for chunk in text]
        return rows

    def next(self) -> Encoding:
        """The next text."""
        text = next(self._texts)
        first, n = self._at, len(text)
        shares = [1.0]
        if self._rule.leaves_out:
            shares += [share_without(weight) for _, weight in _lowered(text)]
        self._at += n * len(shares)
        means = []
        for i in range(n):
            rows = [first + i + n * k for k in range(len(shares))]
            wholes = [self._weighted(row, text[i]) for row in rows]
            if len(wholes) == 1:
                means.append(wholes[0])
            else:
                share = torch.tensor(shares, device=wholes[0].device) / sum(shares)
                means.append((torch.stack(wholes) * share[:, None, None]).sum(0))
        return torch.cat(means), None if self._pooled is None else self._pooled[first]

    def _weighted(self, row: int, chunk: Chunk) -> Tensor:
        """(n, d) of all encoders side by side."""
        if all(token.weight == 1 for token in chunk):
            return torch.cat([tokens[row] for tokens in self._tokens], dim=-1)
        changed = []
        for tokens in self._tokens:
            z = tokens[row].float()
            weights = torch.tensor(self._encoder.weights(chunk), device=z.device)
            e = tokens[-1].float() if self._takes_empty else z
            changed.append(self._rule.apply(z, weights, e))
        return torch.cat(changed, dim=-1)


def _lowered(text: Sequence[Chunk]) -> list[tuple[int, float]]:
    """The fragments of weights below 1."""
    tokens = itertools.chain.from_iterable(text)
    return list({token.fragment: token.weight for token in tokens if token.weight < 1}.items())
