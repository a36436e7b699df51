"""What a request puts on top of its model: adapters and controls, by their names in the folders of models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ldm_core.request.raster import Raster, to_uri
from ldm_core.request.rules import NAME_CHARACTERS, Name, RasterOf, Real

ADAPTER, CONTROL = "LoRA", "ControlNet"  # the kinds of their files in the index of models
EMBEDDING = "embedding"  # that of what a prompt names
MAX_ADAPTERS = 32
MAX_CONTROLS = 8
STRENGTH = (-10.0, 10.0)  # of an adapter
CONTROL_STRENGTH = (0.0, 2.0)


@dataclass(frozen=True, slots=True)
class AdapterUse:
    """An adapter, such as a LoRA, and how strongly it changes the UNet and the text encoders."""

    name: str
    unet: float = 1.0
    text: float = 1.0

    def to_json(self) -> dict[str, object]:
        return {"name": self.name, "unet": self.unet, "text": self.text}


@dataclass(frozen=True, slots=True)
class ControlUse:
    """A control, such as a ControlNet, and the hint that it looks at.

    image: of any size; it is laid over the whole picture.
    start, end: fractions of the steps between which it counts.
    """

    name: str
    image: Raster
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0

    def to_json(self) -> dict[str, object]:
        image = to_uri(self.image)
        return {
            "name": self.name, "image": image, "strength": self.strength, "start": self.start, "end": self.end
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Extensions:
    """What a request's model is loaded with."""

    adapters: tuple[AdapterUse, ...] = ()
    controls: tuple[str, ...] = ()  # names, each once

    def __bool__(self) -> bool:
        return bool(self.adapters or self.controls)


NO_EXTENSIONS = Extensions()


@dataclass(frozen=True, slots=True)
class Adapters:
    """Adapters, as objects or ready; each name once."""

    @property
    def allowed(self) -> str:
        low, high = STRENGTH
        return (
            f"a list of 1 to {MAX_ADAPTERS} adapters, each an object with name and, if not 1, unet and text: "
            f"their strengths, from {low:g} to {high:g}; none named twice"
        )

    def read(self, value: object) -> tuple[AdapterUse, ...] | None:
        if not isinstance(value, list | tuple) or not 0 < len(value) <= MAX_ADAPTERS:
            return None
        uses = [use for entry in value if (use := _adapter(entry)) is not None]
        whole = len(uses) == len(value) == len({use.name for use in uses})
        return tuple(uses) if whole else None


@dataclass(frozen=True, slots=True)
class Controls:
    """Controls, as objects or ready."""

    @property
    def allowed(self) -> str:
        return (
            f"a list of 1 to {MAX_CONTROLS} controls, each an object with name, image (a picture as a data: "
            f"URI) and, if not 1, 0 and 1, strength (up to {CONTROL_STRENGTH[1]:g}), start and end"
        )

    def read(self, value: object) -> tuple[ControlUse, ...] | None:
        if not isinstance(value, list | tuple) or not 0 < len(value) <= MAX_CONTROLS:
            return None
        uses = [use for entry in value if (use := _control(entry)) is not None]
        return tuple(uses) if len(uses) == len(value) else None


def _adapter(value: object) -> AdapterUse | None:
    if isinstance(value, AdapterUse):
        value = value.to_json()
    if not isinstance(value, Mapping) or not {"name"} <= set(value) <= {"name", "unet", "text"}:
        return None
    name = Name(1, NAME_CHARACTERS).read(value["name"])
    unet, text = (Real(*STRENGTH).read(value.get(part, 1.0)) for part in ("unet", "text"))
    return None if name is None or unet is None or text is None else AdapterUse(name, unet, text)


def _control(value: object) -> ControlUse | None:
    if isinstance(value, ControlUse):
        value = {name: getattr(value, name) for name in ("name", "image", "strength", "start", "end")}
    known = {"name", "image", "strength", "start", "end"}
    if not isinstance(value, Mapping) or not {"name", "image"} <= set(value) <= known:
        return None
    name, image = Name(1, NAME_CHARACTERS).read(value["name"]), RasterOf("picture").read(value["image"])
    strength = Real(*CONTROL_STRENGTH).read(value.get("strength", 1.0))
    start, end = (Real(0.0, 1.0).read(value.get(*pair)) for pair in (("start", 0.0), ("end", 1.0)))
    if name is None or image is None or strength is None or start is None or end is None or start > end:
        return None
    return ControlUse(name, image, strength, start, end)
