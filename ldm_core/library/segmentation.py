"""Which class is where in a picture, told by a segmentation model of transformers.  Without the network."""

from __future__ import annotations

import functools
import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ldm_core.errors import AtelierError, ModelFileError, WeightsError
from ldm_core.formats.folders import read_json
from ldm_core.formats.segmentation_folders import (
    DESCRIPTION,
    PICTURES,
    WEIGHTS,
    architecture,
    folder_of,
    require_safe,
)
from ldm_core.wording import shown

if TYPE_CHECKING:
    from transformers import ImageSegmentationPipeline

Segment = tuple[str, NDArray[np.bool_]]  # the name of a class, and (height, width) where it is

log = logging.getLogger(__name__)
_one_at_a_time = threading.Lock()


def segments(path: Path, pixels: NDArray[np.uint8]) -> list[Segment]:
    """What is where in a picture (height, width, 3); every pixel is in one segment.

    Runs on the CPU, where it takes no memory from what paints.

    Args:
        path: of the model, as the index has it.  The one that was used last stays in memory.

    Raises:
        ModelError: it is none, cannot be loaded safely, or fails.
    """
    from PIL import Image

    folder = folder_of(path)
    if folder is None:
        raise ModelFileError(f"{shown(path.name)} is no model for semantic segmentation.")
    require_safe(folder)
    stamp = tuple((folder / name).stat().st_mtime_ns for name in (WEIGHTS, DESCRIPTION, PICTURES))
    with _one_at_a_time:
        try:
            found = _pipeline(folder, stamp)(Image.fromarray(pixels), subtask="semantic")
        except AtelierError:
            raise
        except Exception as error:  # of any class, where a description does not fit
            log.error("segmentation by %s failed", folder.name, exc_info=error)
            raise ModelFileError(
                f"{shown(folder.name)} cannot be used ({type(error).__name__}); download it again, or choose "
                "another model."
            ) from None
    return [(str(segment["label"]), np.asarray(segment["mask"]) > 0) for segment in found]


@functools.lru_cache(maxsize=1)
def _pipeline(folder: Path, _changed: tuple[int, ...]) -> ImageSegmentationPipeline:
    """The model of a folder that is safe to open, ready for use."""
    import torch
    import transformers

    from ldm_core.formats.reading import read_state_dict

    kind = getattr(transformers, architecture(folder))  # one of a fixed list
    config = kind.config_class.from_dict(read_json(folder / DESCRIPTION))
    weights = read_state_dict(folder / WEIGHTS)
    with torch.device("meta"):
        described = sum(parameter.numel() for parameter in kind(config).parameters())
    if described > sum(tensor.numel() for tensor in weights.values()):
        raise WeightsError(
            f"{shown(folder.name)} describes more weights than its file has; download it again."
        )
    # The weights are passed in, so that nothing else of the folder is looked for.
    model, report = kind.from_pretrained(
        None, config=config, state_dict=weights, attn_implementation="eager", output_loading_info=True
    )
    if report["missing_keys"]:
        name = shown(min(report["missing_keys"]))
        raise WeightsError(f"{shown(folder.name)} lacks weights, as {name}; download it again.")
    processor = transformers.AutoImageProcessor.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    return transformers.ImageSegmentationPipeline(
        model=model.float().eval(), image_processor=processor, device="cpu"
    )
