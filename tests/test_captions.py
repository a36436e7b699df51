"""What is said under the pictures of a batch."""

from __future__ import annotations

from app.grids.captions import captions_of
from ldm_core.request import ClassToImage, TextToImage


def test_what_differs_is_said() -> None:
    batch = [TextToImage(prompt="a lake", seed=seed) for seed in (7, 8)]
    assert captions_of(batch) == ["Seed 7", "Seed 8"]
    classes = [ClassToImage(class_name=name) for name in ("forest", "sea")]
    assert captions_of(classes) == ["forest", "sea"]
    several = [TextToImage(steps=steps, guidance_scale=scale) for steps in (5, 10) for scale in (1, 2.5)]
    assert captions_of(several) == [
        "Steps 5 · Guidance scale 1",
        "Steps 5 · Guidance scale 2.5",
        "Steps 10 · Guidance scale 1",
        "Steps 10 · Guidance scale 2.5",
    ]


def test_of_prompts_the_parts_that_differ() -> None:
    prompts = ["a lake, autumn, at dusk", "a lake, winter, at dusk, snow"]
    assert captions_of([TextToImage(prompt=prompt) for prompt in prompts]) == ["autumn", "winter, snow"]
    turned = ["a lake, trees", "trees, a lake"]
    assert captions_of([TextToImage(prompt=prompt) for prompt in turned]) == turned
    shorter = ["a lake, autumn", "a lake"]
    assert captions_of([TextToImage(prompt=prompt) for prompt in shorter]) == ["autumn", "a lake"]


def test_of_equal_ones_nothing() -> None:
    assert captions_of([]) == []
    assert captions_of([TextToImage(), TextToImage()]) == ["", ""]
