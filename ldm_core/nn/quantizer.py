"""Vector quantization: a latent's nearest entries in a learned codebook (arXiv:2012.09841, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_ROWS = 4096  # vectors compared with the codebook at once; 16,384 entries then take 256 MB
_ROWS_ON_CPU = 128  # so that it stays in the cache: half the time


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """What quantization makes of a latent.

    Attributes:
        z: (b, c, h, w), codebook entries; their gradient goes straight through to the latent.
        indices: (b, h, w) int64, which entries.
        codebook_loss: draws the entries to the latents, ||sg[E(x)] - z_q||^2, mean over all elements.
        commitment_loss: keeps the latents at the entries, ||sg[z_q] - E(x)||^2, mean over all elements.
    """

    z: Tensor
    indices: Tensor
    codebook_loss: Tensor
    commitment_loss: Tensor

    def loss(self, beta: float = 0.25) -> Tensor:
        """The part of the training loss that concerns quantization.  Eq. 4, arXiv:2012.09841."""
        return self.codebook_loss + beta * self.commitment_loss


class VectorQuantizer(nn.Module):
    """A codebook of `n_embed` entries of `dim` numbers."""

    def __init__(self, n_embed: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_embed, dim)
        nn.init.uniform_(self.embedding.weight, -1.0 / n_embed, 1.0 / n_embed)

    def forward(self, z: Tensor) -> Quantized:
        """(b, dim, h, w) -> the same with every position's vector replaced by the nearest entry."""
        indices = self.nearest(z)
        z_q = self.lookup(indices)
        return Quantized(
            z=z + (z_q - z).detach() if torch.is_grad_enabled() else z_q,
            indices=indices,
            codebook_loss=F.mse_loss(z_q, z.detach()),
            commitment_loss=F.mse_loss(z, z_q.detach()),
        )

    @torch.no_grad()
    def nearest(self, z: Tensor) -> Tensor:
        """(b, dim, h, w) -> indices (b, h, w) int64 of the nearest entries by Euclidean distance.  Eq. 2."""
        entries = self.embedding.weight.float()  # half precision would confuse neighbours
        vectors = z.float().movedim(1, -1)  # (b, h, w, dim)
        norms = entries.square().sum(1)
        count = _ROWS_ON_CPU if z.device.type == "cpu" else _ROWS
        # |z - e|^2 = |z|^2 + |e|^2 - 2 z e, of which |z|^2 is the same for all entries.
        found = [
            torch.addmm(norms, rows, entries.T, alpha=-2.0).argmin(1)
            for rows in torch.split(vectors.flatten(0, 2), count)
        ]
        return torch.cat(found).view(vectors.shape[:3])

    def lookup(self, indices: Tensor) -> Tensor:
        """(b, h, w) int64 -> entries (b, dim, h, w)."""
        return self.embedding(indices).movedim(-1, 1)
