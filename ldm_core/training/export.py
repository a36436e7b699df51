"""Writes a trained model as the program loads it: half-precision safetensors and a description beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from ldm_core.nn.autoencoder import AutoencoderVQ, FirstStage

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def write_vocabulary(words: Collection[str], path: Path, begun: Path | None = None) -> None:
    """A WordPiece vocabulary of whole words, comma and full stop; any other word becomes [UNK].

    Args:
        begun: a vocabulary whose tokens keep their ids; only words that it lacks come after them.
    """
    tokens = begun.read_text("utf-8").splitlines() if begun else SPECIAL_TOKENS
    path.write_text("\n".join([*tokens, *sorted({*words, ",", "."}.difference(tokens))]) + "\n", "utf-8")


def write_model(folder: Path, weights: Mapping[str, Tensor], config: Mapping[str, object]) -> None:
    """`model.safetensors` (float16) and `config.yaml` in `folder`."""
    half = {name: tensor.detach().cpu().to(torch.float16).contiguous() for name, tensor in weights.items()}
    unfinished = folder / "model.part"
    save_file(half, unfinished)
    unfinished.replace(folder / "model.safetensors")
    (folder / "config.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False), "utf-8")


@torch.no_grad()
def normalise_latent(first_stage: FirstStage, z: Tensor) -> None:
    """Folds (z - mean) / std into the layers on both sides of the latent; z: (n, c, h, w), samples of it.

    The diffusion model then sees zero mean and unit variance, where the published models rescale by one
    standard deviation (paper, Appendix G); the reconstruction stays the same.
    """
    c, mean = z.shape[1], z.mean((0, 2, 3))
    quant, post = first_stage.quant_conv, first_stage.post_quant_conv
    assert quant.bias is not None and post.bias is not None
    if isinstance(first_stage, AutoencoderVQ):
        std = z.std().expand(c)  # one for all channels: the nearest entry stays the nearest
        entries = first_stage.quantize.embedding.weight
        entries.copy_((entries - mean) / std)
    else:
        std = z.std((0, 2, 3))
        quant.bias[c:] -= 2 * std.log()
    post.bias += post.weight[:, :, 0, 0] @ mean
    post.weight *= std.view(1, c, 1, 1)
    quant.weight[:c] /= std.view(c, 1, 1, 1)
    quant.bias[:c] = (quant.bias[:c] - mean) / std
