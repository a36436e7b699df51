"""Drawing a picture from a condition: what all tasks but super-resolution come to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ldm_core.conditioners import Box, Given, kept_bits
from ldm_core.diffusion.experts import handed_over
from ldm_core.diffusion.guidance import Guidance
from ldm_core.diffusion.parameterization import Prediction
from ldm_core.diffusion.samplers import FUNCTIONS, Noise, Region, counted, diffused, keeping, redrawn
from ldm_core.diffusion.schedule import NoiseSchedule, timesteps
from ldm_core.library.class_names import box_classes, class_id, picture_classes
from ldm_core.network.images import fitted, from_pixels
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request import (
    ClassToImage,
    ImageToImage,
    LayoutToImage,
    Request,
    Semantic,
    Sized,
    Unconditional,
)
from ldm_core.spec import ClassSpec, LabelMapSpec, ModelSpec, Spacing
from ldm_core.tasks.base import Conditioning, Finishing, Moment, Pixels, Start

_POOR = 2.5  # the aesthetic score that guidance goes away from, github.com/Stability-AI/generative-models


@dataclass(frozen=True, slots=True)
class Canvas:
    """A picture's size, and the larger one that the network takes.

    What is added lies on the right and at the bottom, repeats the edge, and is cut off again.
    """

    width: int  # pixels
    height: int
    multiple: int
    cell: int  # pixels of a cell of the latent

    @classmethod
    def of(cls, size: tuple[int, int], spec: ModelSpec) -> Canvas:
        return cls(*size, spec.size_multiple, spec.first_stage.downsampling)

    @property
    def padded(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return _up(self.width, self.multiple), _up(self.height, self.multiple)

    @property
    def cells(self) -> tuple[int, int]:
        """Height and width of the latent."""
        width, height = self.padded
        return height // self.cell, width // self.cell

    def pad(self, pixels: Pixels) -> Pixels:
        """(H, W) or (H, W, c) as large as the network takes it."""
        width, height = self.padded
        rest = ((0, 0),) * (pixels.ndim - 2)
        return np.pad(pixels, ((0, height - self.height), (0, width - self.width), *rest), mode="edge")


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """Pictures of one request.

    Attributes:
        x0: (1, c, h, w), the latent that sampling starts from, noised; None: from noise alone.
        known: (1, c, h, w), 1 where x0 is kept at every step: around a hole, and where a label map is told.
        share: of the steps, the last of which are made.
        in_hole: the network is told of a picture with a hole; see `handed_over`.
    """

    model: LatentDiffusion
    canvas: Canvas
    conditioning: Conditioning
    x0: Tensor | None = None
    known: Tensor | None = None
    share: float = 1.0
    in_hole: bool = False

    @property
    def shown(self) -> Region:
        cell = self.canvas.cell
        return slice(0, -(-self.canvas.height // cell)), slice(0, -(-self.canvas.width // cell))

    def start(self, request: Request, moment: Moment | None = None) -> Start:
        schedule = self.model.schedule
        noise = noise_of(request, self.model, self.canvas.cells)
        steps = steps_of(request, schedule)[-1 - self.num_steps(request) :]
        first = 0 if moment is None else moment.step
        alpha_bar = schedule.alpha_bar(steps[first])
        if moment is not None:
            x = stood(request, moment, alpha_bar, noise)
        else:
            x = noise() if self.x0 is None else diffused(Prediction(self.x0, noise()), alpha_bar)

        def fresh() -> Tensor:
            """The same whichever step this begins at, so that an unchanged branch is the same picture."""
            again = noise_of(replace(request, branch=None), self.model, self.canvas.cells)
            again()  # x_T
            return again()

        sampling = handed_over(
            FUNCTIONS[request.sampler],
            x,
            schedule,
            steps[first:],
            request.eta,
            noise,
            below=self.model.spec.refined_below if self.in_hole else 0,
            fresh=fresh,
        )
        if self.x0 is not None and self.known is not None:
            sampling = keeping(sampling, self.x0, self.known, schedule)
        return Start(counted(sampling, first), len(steps) - 1)

    def num_steps(self, request: Request) -> int:
        return part_of(len(steps_of(request, self.model.schedule)) - 1, self.share)

    def finish(self, z: Tensor) -> Finishing:
        pixels = yield from self.model.decoding(z)
        return pixels[: self.canvas.height, : self.canvas.width]

    def then(self, picture: Pixels) -> None:
        return None


def steps_of(request: Request, schedule: NoiseSchedule) -> list[float]:
    """The timesteps from pure noise on, and last where a picture arrives."""
    return timesteps(schedule, request.steps, cast("Spacing", request.spacing))


def part_of(num_steps: int, share: float) -> int:
    """How many steps are made of all; at least one."""
    return max(1, round(share * num_steps))


def num_steps(request: Request, schedule: NoiseSchedule) -> int:
    """How many steps a request's picture takes."""
    whole = len(steps_of(request, schedule)) - 1
    match request:
        case ImageToImage():
            return part_of(whole, request.strength)
        case Sized() | Semantic() if request.second_pass:
            return whole + part_of(whole, request.second_pass)
    return whole


def stood(request: Request, moment: Moment, alpha_bar: float, noise: Noise) -> Tensor:
    """x_t (1, c, h, w) of a moment from which a picture goes on.

    With another seed, half of its noise is drawn anew: samplers that draw none would make the same picture.
    """
    fresh = noise()
    x = moment.x.to(fresh)
    if request.branch is None or request.branch.of.seed == request.seed or moment.pred_x0 is None:
        return x
    return redrawn(x, moment.pred_x0.to(fresh), alpha_bar, fresh)


def noise_of(request: Request, model: LatentDiffusion, cells: tuple[int, int]) -> Noise:
    """Draws standard normal noise, (1, c, h, w).

    On the CPU: the same seed starts from the same noise on every device.  From each step at which a picture
    leaves another comes noise of its own.  A variation's noise is that of what it varies, with a share of
    the variance from its own seed.
    """
    step = None if request.branch is None else request.branch.step
    generators = [_generator(seed, step) for seed in (*(request.variation_of or ()), request.seed)]
    shape = (1, model.spec.latent_channels, *cells)
    share = request.variation_strength

    def noise() -> Tensor:
        x = torch.randn(shape, generator=generators[0])
        for generator in generators[1:]:
            x = (1 - share) ** 0.5 * x + share**0.5 * torch.randn(shape, generator=generator)
        return x.to(model.device)

    return noise


def _generator(seed: int, step: int | None) -> torch.Generator:
    """For a seed, or from a step on; hashed, where torch would see the lowest 32 bits alone."""
    if step is not None or seed >= 2**32:
        numbers = seed if step is None else (seed, step)
        seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    return torch.Generator().manual_seed(seed)


def conditioning(
    request: Request, model: LatentDiffusion, given: Given, cells: tuple[int, int]
) -> Conditioning:
    """As `conditioned`, with the request's guidance."""
    guidance = Guidance(
        request.guidance_scale, request.guidance_rescale, request.guidance_start, request.guidance_end
    )
    return conditioned(model, given, request.negative_prompt, guidance, cells)


def conditioned(
    model: LatentDiffusion, given: Given, negative_prompt: str, guidance: Guidance, cells: tuple[int, int]
) -> Conditioning:
    """Guided away from the negative prompt, no boxes, no label map, no hole's surroundings or no class.

    Both sides get the rest.
    """
    without = _without(negative_prompt.strip(), model.spec, given)
    if without is None or guidance.scale == 1:
        return Conditioning(model.condition([given], cells), None, guidance)
    if guidance.scale == 0 and guidance.always:
        return Conditioning(model.condition([without], cells), None, guidance)
    both = model.condition([given, without], cells)
    return Conditioning(both[:1], both[1:], guidance)


def _without(negative: str, spec: ModelSpec, given: Given) -> Given | None:
    """What guidance goes away from; None where the model knows no such thing."""
    classes = spec.conditioner(ClassSpec)
    untold = given.untold(spec)
    if spec.takes_prompts or untold is not given:
        same = negative == given.prompt and untold is given
        return None if same else replace(untold, prompt=negative, aesthetic_score=_POOR)
    if classes is not None and classes.no_class is not None and given.class_id is not None:
        return replace(given, class_id=None)
    return None


def draw(request: Request, model: LatentDiffusion) -> Drawing:
    """Text to image, classes, layouts, label maps, unconditional."""
    canvas = Canvas.of(request.size, model.spec)
    given = given_of(request, model.spec, canvas)
    told = conditioning(request, model, given, canvas.cells)
    if isinstance(request, ClassToImage) and request.class_to:
        given = class_given("class_to", request.class_to, model.spec)
        other = conditioning(request, model, given, canvas.cells)
        told = replace(told, condition=told.condition.towards(other.condition, request.blend))
    if told.condition.bits is None:
        return Drawing(model, canvas, told)
    return Drawing(model, canvas, told, *kept_bits(told.condition.bits, model.spec.latent_channels))


def go_on(request: ImageToImage, model: LatentDiffusion) -> Drawing:
    """Image to image: from the picture's latent with part of the noise.  SDEdit, arXiv:2108.01073."""
    canvas = Canvas.of(request.size, model.spec)
    told = conditioning(request, model, Given(prompt=request.prompt.strip()), canvas.cells)
    x0 = latent(model, canvas.pad(fitted(opaque(request.image.pixels), *request.size)))
    return Drawing(model, canvas, told, x0, share=request.strength)


def latent(model: LatentDiffusion, pixels: Pixels) -> Tensor:
    """(1, c, h, w) of a picture (H, W, 3); channels that go on with a label map say nothing."""
    z = model.encode(from_pixels(pixels)[None])
    return F.pad(z, (0, 0, 0, 0, 0, model.spec.latent_channels - z.shape[1]))


def opaque(pixels: Pixels) -> Pixels:
    """(H, W, 3) of a picture that may be transparent: its colours."""
    return pixels[..., :3]


def given_of(request: Request, spec: ModelSpec, canvas: Canvas) -> Given:
    """What a request gives to a model's conditioners.

    Raises:
        RequestError: a class is not the model's.
    """
    prompt = request.prompt.strip()
    match request:
        case Unconditional():
            return Given()
        case ClassToImage():
            if request.class_id is None:
                return class_given("class_name", request.class_name, spec)
            return class_given("class_id", request.class_id, spec)
        case LayoutToImage():
            return Given(prompt, boxes=_boxes(request, spec, canvas))
        case Semantic():
            labels = canvas.pad(request.label_map.pixels)
            return Given(prompt, label_map=_labels(labels, spec, canvas))
    return Given(prompt)


def class_given(field: str, label: str | int, spec: ModelSpec) -> Given:
    """A class as the model takes it: its id, or the prompt that stands for it.

    Raises:
        RequestError: the model has no such class.
    """
    classes, names = spec.conditioner(ClassSpec), picture_classes(spec)
    if classes is not None:
        return Given(class_id=class_id(field, label, names, classes.num_classes))
    return Given(prompt=spec.class_prompts[class_id(field, label, names, len(names))][1])


def _boxes(request: LayoutToImage, spec: ModelSpec, canvas: Canvas) -> tuple[Box, ...]:
    """In fractions of the padded picture."""
    names, (width, height) = box_classes(spec), canvas.padded
    across, down = canvas.width / width, canvas.height / height
    count = len(names) or 1
    return tuple(
        Box(
            class_id("boxes", box.label, names, count),
            across * box.x,
            down * box.y,
            across * (box.x + box.width),
            down * (box.y + box.height),
        )
        for box in request.boxes
    )


def _labels(labels: Pixels, spec: ModelSpec, canvas: Canvas) -> Tensor:
    """(H, W) of the size that the model's rescaler, if it has one, halves to the latent's."""
    published = spec.conditioner(LabelMapSpec)
    if published is not None and published.channels:
        height, width = (size * 2**published.halvings for size in canvas.cells)
        labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT).astype(np.uint8)
    return torch.from_numpy(labels.copy())
