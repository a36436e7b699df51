"""Features of Inception-v3, in which the FID is measured (arXiv:1706.08500), by torch-fidelity."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ldm_core.errors import AtelierError, ModelFileError
from ldm_core.evaluation.judging import BATCH, Pictures
from ldm_core.formats.reading import read_state_dict

Features = Callable[[Pictures], NDArray[np.float64]]  # (n, h, w, 3) -> (n, 2048)


def read_inception(path: Path) -> Features:
    """The network with the weights that torch-fidelity publishes, from a local file.

    Raises:
        AtelierError: torch-fidelity is not installed.
        ModelFileError: the file cannot be read, or holds another network.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError:
        raise AtelierError(
            "The FID needs torch-fidelity, which is not installed: run `pip install torch-fidelity`."
        ) from None
    # The library would unpickle the file as it is; this is what our reader found in it.
    with tempfile.TemporaryDirectory() as folder:
        safe = Path(folder, "inception.pth")
        torch.save(read_state_dict(path), safe)
        try:
            network = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=safe)
        except (RuntimeError, AssertionError, KeyError):
            raise ModelFileError(
                f"{path.name} does not hold the weights of Inception-v3 as torch-fidelity publishes them "
                "(weights-inception-2015-12-05-6726825d.pth)."
            ) from None

    @torch.inference_mode()
    def features(pictures: Pictures) -> NDArray[np.float64]:
        rows: list[Tensor] = []
        for i in range(0, len(pictures), BATCH):
            x = torch.from_numpy(pictures[i : i + BATCH]).permute(0, 3, 1, 2)  # (b, 3, h, w) uint8
            rows += network(x.contiguous())
        return torch.cat(rows).double().numpy()

    return features
