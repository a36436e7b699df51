"""What a person gives beside numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from ldm_core.spec import BoxMapSpec, KnownRegionSpec, ModelSpec


@dataclass(frozen=True, slots=True)
class Box:
    """A labelled box.  Edges in fractions of the picture from its top left; x0 <= x1, y0 <= y1."""

    class_id: int
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What is given for one picture.  A conditioner takes its part; what is None or empty is not given.

    Attributes:
        label_map: (H, W) uint8, class ids, 255 where nothing is said.
        image: (3, H, W) in [-1, 1], a picture with a hole.
        mask: (1, H, W), 1 in the hole and 0 elsewhere; belongs to `image`.
        noise_level: of what is added to `low_res`, for models that are told of it; a timestep.
        low_res_noise: (3, h, w), standard normal; belongs to `noise_level`.
        aesthetic_score: 0 .. 10, for models that are told of it.
        low_res: (3, h, w) in [-1, 1], a small picture of the latent's height and width.
    """

    prompt: str = ""
    class_id: int | None = None
    boxes: tuple[Box, ...] = ()
    label_map: Tensor | None = None
    image: Tensor | None = None
    mask: Tensor | None = None
    low_res: Tensor | None = None
    low_res_noise: Tensor | None = None
    noise_level: int = 20
    aesthetic_score: float = 6.0

    def untold(self, spec: ModelSpec) -> Given:
        """Without the boxes, label map and picture that the model learnt to do without and is guided towards.

        Itself where there are none.
        """
        untold = self
        if self.boxes and spec.conditioner(BoxMapSpec) is not None:
            untold = replace(untold, boxes=())
        if self.label_map is not None and spec.label_bits is not None:
            untold = replace(untold, label_map=None)
        if self.image is not None and spec.conditioner(KnownRegionSpec) is not None:
            untold = replace(untold, image=None, mask=None)
        return untold
