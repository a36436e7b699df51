"""Models with adapters and controls on top, kept in memory beside the models themselves."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ldm_core.errors import ConfigError
from ldm_core.library.collection import Stamp
from ldm_core.library.residents import Residents
from ldm_core.spec import UNetSpec
from ldm_core.wording import shown

if TYPE_CHECKING:
    from ldm_core.library.tokens import Report
    from ldm_core.network.adapters import Adapter
    from ldm_core.network.latent_diffusion import LatentDiffusion
    from ldm_core.nn.control import ControlNet

MOST_VARIANTS = 4  # of one model that are kept: as many as there are jobs that take turns
MOST_READ = 8  # files of adapters whose tensors are kept, so that another strength reads nothing


@dataclass(frozen=True, slots=True)
class File:
    """A file of an adapter or a control, as it is now."""

    name: str
    path: Path
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Files:
    """What a model is loaded with.  `adapters`: with their strengths in the UNet and the text encoders."""

    adapters: tuple[tuple[File, float, float], ...] = ()
    controls: tuple[File, ...] = ()


class ExtensionLoader:
    """Not safe to use from several threads at once.

    Args:
        residents: where whole models are, and what this loads is kept beside them.
    """

    def __init__(self, residents: Residents) -> None:
        self._residents = residents
        self._read: OrderedDict[Hashable, tuple[Adapter, tuple[str, ...]]] = OrderedDict()

    def load(
        self, model: LatentDiffusion, key: tuple[object, ...], files: Files, report: Report
    ) -> LatentDiffusion:
        """A model with adapters and controls.

        Args:
            key: the model's among the residents.
            report: takes an adapter's parts that have no place in the model.

        Raises:
            ModelFileError: a file cannot be read.
            WeightsError: one does not suit the model.
        """
        from ldm_core.network.adapters import Applied, adapted, num_bytes

        found = self._residents.get((*key, files))
        if found is not None:
            return cast("LatentDiffusion", found)
        applied = [
            Applied(self._adapter(file, model, key, report), unet, text)
            for file, unet, text in files.adapters
        ]
        controls = {file.name: self._control(file, model, key) for file in files.controls}
        self._residents.make_room(num_bytes(model, applied), str(model.device))
        made = adapted(model, applied).with_controls(controls)
        self._residents.add((*key, files), made, beside=key, most=MOST_VARIANTS)
        return made

    def _adapter(self, file: File, model: LatentDiffusion, key: Hashable, report: Report) -> Adapter:
        from ldm_core.formats.adapter_files import read_adapter

        if (file, key) not in self._read:
            self._read[file, key] = read_adapter(file.path, file.name, model, model.spec)
            if len(self._read) > MOST_READ:
                self._read.popitem(last=False)
        self._read.move_to_end((file, key))
        adapter, unmatched = self._read[file, key]
        if unmatched:
            few = ", ".join(unmatched[:3]) + (", …" if len(unmatched) > 3 else "")
            report(f"{len(unmatched)} parts of {file.name} have no place in this model: {few}")
        return adapter

    def _control(self, file: File, model: LatentDiffusion, key: tuple[object, ...]) -> ControlNet:
        from ldm_core.formats.control_files import read_control

        unet = model.spec.unet
        if not isinstance(unet, UNetSpec):
            raise ConfigError(f"{shown(file.name)} is for a UNet; this model's network is another one.")
        control_key = (file, unet, model.device, model.dtype)
        found = self._residents.get(control_key)
        if found is None:
            self._residents.make_room(file_bytes(file), str(model.device))
            found = read_control(file.path, file.name, unet, model.device, model.dtype)
            self._residents.add(control_key, found, beside=key)
        return cast("ControlNet", found)


def file_bytes(file: File) -> int:
    """About what it takes in memory."""
    return sum(size for _, _, size in file.stamp)
