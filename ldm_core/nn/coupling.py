"""Attention coupling: in parts of the plane cross-attention is to contexts of their own.

In every place the shares of all contexts sum to 1, and

    out = sum over r of share_r * softmax(q k_r^T / sqrt(d)) v_r

so that one network call draws every region by its own prompt, as laksjdjf's attention_couple.py for ComfyUI
and hako-mikan's regional prompter have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True, eq=False)
class Coupling:
    """The regions of a batch: those of its first sample, then those of the next ...

    Attributes:
        contexts: (k, n, d), of all k regions; as long as the samples' own.
        shares: (k, h, w), of each place's attention; what they leave of 1 is the sample's own context's.
        counts: how many regions each sample has.
        embeddings: (k, emb_dim), what joins the embedding of t, where a context is part of it; a network
            adds it to the coupling that it is given, once its samples are chosen (`of`, `cat`).
    """

    contexts: Tensor
    shares: Tensor
    counts: tuple[int, ...]
    embeddings: Tensor | None = None

    @property
    def rows(self) -> list[int]:
        """Of each region the sample that it is of."""
        return [i for i, count in enumerate(self.counts) for _ in range(count)]

    def map(self, change: Callable[[Tensor], Tensor]) -> Coupling:
        """The same change to all tensors."""
        embeddings = None if self.embeddings is None else change(self.embeddings)
        return Coupling(change(self.contexts), change(self.shares), self.counts, embeddings)

    def of(self, samples: Sequence[int]) -> Coupling | None:
        """Of some of the batch; None where these have no regions."""
        ends = [sum(self.counts[: i + 1]) for i in samples]
        rows = [row for i, end in zip(samples, ends) for row in range(end - self.counts[i], end)]
        counts = tuple(self.counts[i] for i in samples)
        return Coupling(self.contexts[rows], self.shares[rows], counts) if rows else None

    def tile(self, region: tuple[slice, slice]) -> Coupling:
        """What belongs to a tile of the latent."""
        return replace(self, shares=self.shares[:, region[0], region[1]])

    def at(self, height: int, width: int) -> Coupling:
        """In the places of a feature map: means of the shares, which still sum to 1."""
        if self.shares.shape[1:] == (height, width):
            return self
        return replace(self, shares=F.adaptive_avg_pool2d(self.shares[:, None], (height, width))[:, 0])

    @staticmethod
    def cat(parts: Iterable[tuple[Coupling | None, int]]) -> Coupling | None:
        """One of several batches, each with its number of samples; None where none has regions."""
        rows = list(parts)
        there = [coupling for coupling, _ in rows if coupling is not None]
        if not there:
            return None
        counts = [(0,) * samples if coupling is None else coupling.counts for coupling, samples in rows]
        return Coupling(
            torch.cat([coupling.contexts for coupling in there]),
            torch.cat([coupling.shares for coupling in there]),
            sum(counts, ()),
        )

    def spread(self, own: Tensor, others: Tensor) -> Tensor:
        """(b, c, h, w), numbers of each place by its shares.

        Args:
            own: (b, c, 1, 1), of the samples.
            others: (k, c), of the regions.
        """
        places, r = own.expand(-1, -1, *self.shares.shape[1:]).clone(), 0
        for i, count in enumerate(self.counts):
            for _ in range(count):
                places[i] += self.shares[r] * (others[r, :, None, None] - own[i])
                r += 1
        return places

    def mixed(self, out: Tensor, attention: Callable[[int, int], Tensor]) -> Tensor:
        """The attention of each place, (b, heads, n, d), by its shares.

        Args:
            out: (b, heads, n, d), to the samples' own contexts.
            attention: of sample i to context r, (heads, n, d).
        """
        shares, found, r = self.shares.flatten(1)[:, None, :, None], [], 0  # (k, 1, n, 1)
        for i, count in enumerate(self.counts):
            own = mixed = out[i]
            for _ in range(count):
                mixed = mixed + shares[r] * (attention(i, r) - own)
                r += 1
            found.append(mixed)
        return torch.stack(found)
