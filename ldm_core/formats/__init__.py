"""Model files: reading them safely, recognising what they are, and building the model.

Importing this package imports no torch, so that a page can describe models before it is there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ldm_core.formats.config import Config, Defaults, read_config

if TYPE_CHECKING:
    import torch

    from ldm_core.model import LatentDiffusion
    from ldm_core.nn.autoencoder import FirstStage

__all__ = ["Config", "Defaults", "load_model", "read_config"]


def load_model(
    path: Path,
    *,
    config: Path | None = None,
    vocabulary: Path | None = None,
    device: str = "cpu",
    dtype: torch.dtype | None = None,
) -> LatentDiffusion | FirstStage:
    """Loads a whole model, or a first stage alone, from a file or a folder.

    Args:
        path: a checkpoint, or a folder with `model.safetensors`.
        config: the description; without it `NAME.yaml` or `config.yaml` beside the weights is used,
            else the model is recognised by its tensors.
        vocabulary: folder with CLIP's tokenizer, for a file that has none beside it.
        device: where the weights go.
        dtype: what is computed in; None is float32.

    `vocab.txt` beside the weights becomes the model's tokenizer; for CLIP `vocab.json` and `merges.txt`.

    Raises:
        ModelFileError: the weights cannot be read or are not safe to read.
        ConfigError: the description is missing a fact, contradicts itself or the weights.
        WeightsError: tensors are missing, unexpected or of another shape.
    """
    from ldm_core.formats.loading import load

    return load(path, config=config, vocabulary=vocabulary, device=device, dtype=dtype)
