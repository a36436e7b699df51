"""Latent diffusion models (Rombach et al. 2021) as a library: load, sample, train, evaluate.

    from ldm_core import load_model, sample, to_image

    model = load_model("sd15.safetensors")
    z = sample(model, "a lake at dawn", steps=20, seeds=[7])
    to_image(model.decode(z)[0]).save("lake.png")

The names below are the library's front; each is imported when it is first used, so that `import ldm_core`
brings no torch.  docs/library.md shows what can be done with them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ldm_core.conditioners import Box as Box
    from ldm_core.conditioners import Inputs as Inputs
    from ldm_core.diffusion.guidance import Guidance as Guidance
    from ldm_core.diffusion.samplers import Ask as Ask
    from ldm_core.diffusion.schedule import NoiseSchedule as NoiseSchedule
    from ldm_core.engine.engine import Engine as Engine
    from ldm_core.engine.sample import State as State
    from ldm_core.engine.sample import sample as sample
    from ldm_core.errors import AtelierError as AtelierError
    from ldm_core.formats import load_model as load_model
    from ldm_core.library.models import ModelLibrary as ModelLibrary
    from ldm_core.network.images import to_image as to_image
    from ldm_core.network.images import to_tensor as to_tensor
    from ldm_core.network.latent_diffusion import LatentDiffusion as LatentDiffusion
    from ldm_core.request import ClassToImage as ClassToImage
    from ldm_core.request import ImageToImage as ImageToImage
    from ldm_core.request import Inpaint as Inpaint
    from ldm_core.request import LayoutToImage as LayoutToImage
    from ldm_core.request import Outpaint as Outpaint
    from ldm_core.request import Remove as Remove
    from ldm_core.request import Request as Request
    from ldm_core.request import Semantic as Semantic
    from ldm_core.request import SuperResolution as SuperResolution
    from ldm_core.request import TextToImage as TextToImage
    from ldm_core.request import Unconditional as Unconditional
    from ldm_core.request import parse_request as parse_request
    from ldm_core.request import to_json as to_json

_HOMES = {
    "conditioners": "Box Inputs",
    "diffusion.guidance": "Guidance",
    "diffusion.samplers": "Ask",
    "diffusion.schedule": "NoiseSchedule",
    "engine.engine": "Engine",
    "engine.sample": "State sample",
    "errors": "AtelierError",
    "formats": "load_model",
    "library.models": "ModelLibrary",
    "network.images": "to_image to_tensor",
    "network.latent_diffusion": "LatentDiffusion",
    "request": "ClassToImage ImageToImage Inpaint LayoutToImage Outpaint Remove Request Semantic "
    "SuperResolution TextToImage Unconditional parse_request to_json",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = list(_HOME_OF)


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
