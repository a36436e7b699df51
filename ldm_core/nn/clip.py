"""CLIP's text transformers, as transformers builds them, inside our models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ldm_core.spec import ClipTower

if TYPE_CHECKING:
    from transformers import CLIPTextModelWithProjection

_ARGMAX = 2  # as `eos_token_id`: a prompt ends at its highest token id, as in CLIP's own code


Vectors = Mapping[tuple[int, int], Tensor]  # (row, position) -> (d,), in the place of a token's embedding


class Embedder(nn.Module):
    """One text transformer, under the name that published checkpoints give it."""

    def __init__(self, spec: ClipTower) -> None:
        super().__init__()
        self.spec = spec
        setattr(self, "model" if spec.open_clip else "transformer", _transformer(spec))

    def forward(
        self, ids: Tensor, layer: int, normalized: bool, vectors: Vectors, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """As `ClipText`, of one: tokens (b, n, dim) and the pooled prompt (b, projection_dim or dim)."""
        tower = getattr(self, "model" if self.spec.open_clip else "transformer")
        text = tower.text_model
        positions = torch.arange(ids.shape[1], device=ids.device)[None]
        taken = {"input_ids": ids, "position_ids": positions, "attention_mask": mask}
        with _replaced(text.embeddings.token_embedding, vectors):
            out = text(**taken, output_hidden_states=layer > 1)
        tokens = out.hidden_states[-layer] if layer > 1 else out.last_hidden_state
        if normalized and layer > 1:
            tokens = text.final_layer_norm(tokens)
        return tokens, tower.text_projection(out.pooler_output)


class ClipText(nn.Module):
    """Token ids -> what the transformers say of each token, and the last one's pooled prompt.

    normalized: whether what an earlier layer than the last says is normalised as the last one's.
    """

    def __init__(self, towers: Sequence[ClipTower], *, normalized: bool) -> None:
        super().__init__()
        self.normalized = normalized
        self.embedders = nn.ModuleList(Embedder(tower) for tower in towers)

    def forward(
        self, ids: Tensor, layer: int, vectors: Sequence[Vectors] = (), mask: Tensor | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """(b, towers, n) int64 -> for each tower (b, n, dim), and (b, projection_dim or dim).

        Args:
            layer: which one is read, counted from the last: 1, 2, ...
            vectors: for each tower.
            mask: (b, n), 0 at tokens that the others do not see.
        """
        of_tower = vectors or [{}] * len(self.embedders)
        found = [
            embedder(of, layer, self.normalized, instead, mask)
            for embedder, of, instead in zip(self.embedders, ids.unbind(1), of_tower, strict=True)
        ]
        return [tokens for tokens, _ in found], found[-1][1]


@contextmanager
def _replaced(embedding: nn.Module, vectors: Vectors) -> Iterator[None]:
    """While it lasts some tokens are embedded as given vectors."""

    def replace(module: nn.Module, inputs: object, embedded: Tensor) -> Tensor:
        embedded = embedded.clone()
        for (row, position), vector in vectors.items():
            embedded[row, position] = vector.to(embedded)
        return embedded

    if not vectors:
        yield
        return
    handle = embedding.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


def _transformer(spec: ClipTower) -> CLIPTextModelWithProjection:
    # A second to import, which a page without such a model does not wait for.
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=spec.vocab_size,
        hidden_size=spec.dim,
        intermediate_size=spec.hidden_dim,
        projection_dim=spec.projection_dim or spec.dim,
        num_hidden_layers=spec.depth,
        num_attention_heads=spec.heads,
        max_position_embeddings=spec.max_length,
        hidden_act="gelu" if spec.open_clip else "quick_gelu",
        bos_token_id=0,  # not looked at
        eos_token_id=_ARGMAX,
    )
    tower = CLIPTextModelWithProjection(config)
    # Positions are given in each call: this buffer has no values where models are made on the meta device.
    tower.text_model.embeddings.register_buffer("position_ids", None)
    if not spec.projection_dim:
        tower.text_projection = nn.Identity()
    return tower
