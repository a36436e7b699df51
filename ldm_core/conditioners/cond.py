"""What the UNet is given beside x_t and t."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ldm_core.nn.coupling import Coupling


@dataclass(frozen=True, slots=True, eq=False)
class Cond:
    """For a batch of b; None where a model takes no such part.

    Attributes:
        context: (b, n, d), for cross-attention.
        concat: (b, c, h, w), concatenated to x_t.
        vector: (b, d), joins the embedding of t: pooled prompt and sizes, or 1 at a noise level's place;
            then the guidance scale, where the network guides itself.
        bits: (b, n + 1, h, w), a label map that takes the place of x_t's own (`LabelBitsSpec`): its digits,
            and 1 where they count.
        coupling: other contexts in parts of the plane, as long as `context`.
    """

    context: Tensor | None = None
    concat: Tensor | None = None
    vector: Tensor | None = None
    bits: Tensor | None = None
    coupling: Coupling | None = None

    @property
    def shape(self) -> tuple[torch.Size | None, ...]:
        """Equal for those that can share a network call."""
        return tuple(None if part is None else part.shape for part in self._parts)

    @property
    def _parts(self) -> tuple[Tensor | None, ...]:
        return self.context, self.concat, self.vector, self.bits

    def map(self, change: Callable[[Tensor], Tensor]) -> Cond:
        """The same change to every part that is there."""
        coupling = None if self.coupling is None else self.coupling.map(change)
        changed = _of(None if part is None else change(part) for part in self._parts)
        return replace(changed, coupling=coupling)

    def __getitem__(self, rows: slice | Tensor) -> Cond:
        """Some of the batch."""
        some = replace(self, coupling=None).map(lambda part: part[rows])
        if self.coupling is None:
            return some
        import torch

        kept = rows if isinstance(rows, slice) else rows.cpu()
        samples: list[int] = torch.arange(len(self.coupling.counts))[kept].tolist()
        return replace(some, coupling=self.coupling.of(samples))

    def tile(self, region: tuple[slice, slice]) -> Cond:
        """What belongs to a tile of the latent."""
        concat, bits = (
            None if part is None else part[..., region[0], region[1]] for part in (self.concat, self.bits)
        )
        coupling = None if self.coupling is None else self.coupling.tile(region)
        return replace(self, concat=concat, bits=bits, coupling=coupling)

    def lengthened(self, length: int) -> Cond:
        """With so many tokens, the last one again and again."""
        if self.context is None or self.context.shape[1] >= length:
            return self
        import torch

        more = self.context[:, -1:].expand(-1, length - self.context.shape[1], -1)
        return replace(self, context=torch.cat([self.context, more], dim=1))

    def towards(self, other: Cond, share: float) -> Cond:
        """Between this one at 0 and another with the same parts at 1."""
        pairs = zip(self._parts, other._parts, strict=True)
        return _of(a if a is None or b is None else a.lerp(b, share) for a, b in pairs)

    def with_vector(self, more: Tensor) -> Cond:
        """With numbers (b, d) at the end of the vector."""
        import torch

        vector = more if self.vector is None else torch.cat([self.vector, more.to(self.vector)], dim=1)
        return replace(self, vector=vector)

    def unet_input(self, x: Tensor) -> Tensor:
        """x_t (b, c, h, w) as the UNet takes it: with the label map's digits, then what is concatenated."""
        import torch

        from ldm_core.conditioners.spatial import with_bits

        if self.bits is not None:
            x = with_bits(x, self.bits)
        if self.concat is not None:
            x = torch.cat([x, self.concat.to(x.dtype)], dim=1)
        return x.contiguous(memory_format=torch.channels_last)

    @staticmethod
    def cat(conds: Sequence[Cond]) -> Cond:
        """One batch of several; all of them have the same parts."""
        if all(cond.coupling is None for cond in conds):
            return _cat(conds, dim=0)
        from ldm_core.nn.coupling import Coupling

        rows = ((cond.coupling, 0 if cond.context is None else len(cond.context)) for cond in conds)
        return replace(_cat(conds, dim=0), coupling=Coupling.cat(rows))

    @staticmethod
    def joined(conds: Sequence[Cond]) -> Cond:
        """What several conditioners say of one batch: tokens after tokens, channels after channels."""
        return _cat(conds, dim=1)


def _cat(conds: Iterable[Cond], dim: int) -> Cond:
    import torch

    columns = zip(*(cond._parts for cond in conds), strict=True)
    filled = ([part for part in column if part is not None] for column in columns)
    return _of(torch.cat(column, dim) if column else None for column in filled)


def _of(parts: Iterable[Tensor | None]) -> Cond:
    """Args: `parts` in their order; none of a model without conditioners."""
    context, concat, vector, bits = [*parts] or [None] * 4
    return Cond(context, concat, vector, bits)
