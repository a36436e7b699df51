"""Model files: reading them safely, recognising what they are, and building the model.

Importing this package imports no torch, so that a page can describe models before it is there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ldm_core.conditioners import Conditioner
from ldm_core.formats.config import Config, read_config
from ldm_core.spec import Defaults

if TYPE_CHECKING:
    import torch

    from ldm_core.network.latent_diffusion import LatentDiffusion
    from ldm_core.nn.autoencoder import FirstStage

FindTokenizer = Callable[[Conditioner], Path | None]

__all__ = ["Config", "Defaults", "FindTokenizer", "load_model", "read_config"]


def load_model(
    path: str | Path,
    *,
    config: str | Path | None = None,
    find_tokenizer: FindTokenizer = lambda _: None,
    device: str = "cpu",
    dtype: torch.dtype | None = None,
) -> LatentDiffusion | FirstStage:
    """Loads a whole model, or a first stage alone, from a file or a folder.

    Args:
        path: a checkpoint, or a folder with `model.safetensors`.
        config: the description; without it `NAME.yaml` or `config.yaml` beside the weights is used,
            else the model is recognised by its tensors.
        find_tokenizer: is asked for the folder with a conditioner's tokenizer where none lies with the
            model; None where there is none.
        device: where the weights go.
        dtype: what is computed in; None is float32.

    `vocab.txt` beside the weights becomes the model's tokenizer; for CLIP `vocab.json` and `merges.txt`.

    Raises:
        ModelFileError: the weights cannot be read or are not safe to read.
        ConfigError: the description is missing a fact, contradicts itself or the weights.
        WeightsError: tensors are missing, unexpected or of another shape.
    """
    from ldm_core.formats.loading import load

    config = None if config is None else Path(config)
    return load(Path(path), config=config, find_tokenizer=find_tokenizer, device=device, dtype=dtype)
