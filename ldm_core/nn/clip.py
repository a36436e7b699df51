"""CLIP's text transformers, as transformers builds them, inside our models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ldm_core.spec import ClipTower

if TYPE_CHECKING:
    from transformers import CLIPTextModelWithProjection

_ARGMAX = 2  # as `eos_token_id`: a prompt ends at its highest token id, as in CLIP's own code


class Embedder(nn.Module):
    """One text transformer, under the name that published checkpoints give it."""

    def __init__(self, spec: ClipTower) -> None:
        super().__init__()
        self.spec = spec
        setattr(self, "model" if spec.open_clip else "transformer", _transformer(spec))

    def forward(self, ids: Tensor, penultimate: bool) -> tuple[Tensor, Tensor]:
        """(b, n) int64 -> tokens (b, n, dim) and the pooled prompt (b, projection_dim or dim)."""
        tower = getattr(self, "model" if self.spec.open_clip else "transformer")
        positions = torch.arange(ids.shape[1], device=ids.device)[None]
        out = tower.text_model(input_ids=ids, position_ids=positions, output_hidden_states=penultimate)
        tokens = out.hidden_states[-2] if penultimate else out.last_hidden_state
        return tokens, tower.text_projection(out.pooler_output)


class ClipText(nn.Module):
    """Token ids (b, towers, n) int64 -> context (b, n, dim) and the last tower's pooled prompt."""

    def __init__(self, towers: Sequence[ClipTower], penultimate: bool) -> None:
        super().__init__()
        self.penultimate = penultimate
        self.embedders = nn.ModuleList(Embedder(tower) for tower in towers)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        found = [
            embedder(tokens_of, self.penultimate)
            for embedder, tokens_of in zip(self.embedders, ids.unbind(1), strict=True)
        ]
        return torch.cat([tokens for tokens, _ in found], dim=-1), found[-1][1]


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
