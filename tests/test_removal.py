"""Taking something out of a picture without a model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.commands.cli import main
from app.keeping.metadata import encode_png, read_settings
from ldm_core import ModelLibrary, Remove, parse_request, to_json
from ldm_core.engine.engine import Engine
from ldm_core.errors import AtelierError, EngineError, RequestError
from ldm_core.pictures import patches
from ldm_core.request import Inpaint
from ldm_core.request.raster import Raster
from ldm_core.tasks.removal import removed

needs_patches = pytest.mark.skipif(
    not patches.can_match(), reason="pypatchmatch has no wheel for this computer"
)


def stripes(height: int = 160, width: int = 240) -> NDArray[np.uint8]:
    """Upright stripes, 8 pixels each, lighter from top to bottom."""
    y, x = np.mgrid[:height, :width]
    value = np.where(x // 8 % 2, 60, 180) + y // 4
    return np.repeat(value[..., None], 3, axis=2).astype(np.uint8)


def hole(height: int = 160, width: int = 240) -> NDArray[np.uint8]:
    mask = np.zeros((height, width), np.uint8)
    mask[60:100, 100:140] = 255
    return mask


def spotted() -> NDArray[np.uint8]:
    picture = stripes()
    picture[hole() > 0] = (255, 0, 0)
    return picture


@needs_patches
def test_a_texture_goes_on_where_something_was() -> None:
    request = Remove(image=Raster(spotted()), mask=Raster(hole()), feather=0)
    picture = removed(request)
    assert np.array_equal(picture[hole() == 0], spotted()[hole() == 0])
    wrong = np.abs(picture.astype(int) - stripes())[hole() > 0]
    assert np.median(wrong) <= 8 and (wrong > 60).mean() < 0.1  # stripes stand where stripes stood
    blurred = removed(Remove(image=Raster(spotted()), mask=Raster(hole()), feather=0, fill="telea"))
    blurred_wrong = np.abs(blurred.astype(int) - stripes())[hole() > 0]
    assert wrong.mean() < blurred_wrong.mean() / 2


@needs_patches
def test_the_same_request_gives_the_same_bytes() -> None:
    request = Remove(image=Raster(spotted()), mask=Raster(hole()))
    first = removed(request)
    import patchmatch

    patchmatch.set_random_seed(7)  # as somebody else in the process may
    again = parse_request(json.loads(json.dumps(to_json(request))))
    assert isinstance(again, Remove) and np.array_equal(removed(again), first)
    settings = read_settings(encode_png(first, request))
    assert settings.request == request


@pytest.mark.parametrize("fill", ["telea", pytest.param("patches", marks=needs_patches)])
def test_transparency_and_what_is_outside_stay(fill: str) -> None:
    clear = np.dstack([spotted(), np.full((160, 240), 90, np.uint8)])
    picture = removed(Remove(image=Raster(clear), mask=Raster(hole()), feather=3, fill=fill))
    near = np.zeros((160, 240), bool)
    near[56:104, 96:144] = True
    assert np.array_equal(picture[~near], clear[~near])
    assert (picture[70:90, 110:130, 3] == 255).all()


def test_what_cannot_be_removed_is_refused() -> None:
    image, mask = Raster(spotted()), Raster(hole())
    for field, changes in {
        "mask": {"mask": Raster(hole()[:50])},
        "fill": {"fill": "noise"},
        "batch_size": {"batch_size": 2},
    }.items():
        with pytest.raises(RequestError) as caught:
            Remove(**{"image": image, "mask": mask, **changes})
        assert caught.value.field == field
    if patches.can_match():
        with pytest.raises(EngineError, match="covers everything"):
            removed(Remove(image=image, mask=Raster(np.full_like(hole(), 255))))


def test_without_the_library_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EngineError, match="pip install pypatchmatch"):
        removed(Remove(image=Raster(spotted()), mask=Raster(hole())))


def test_an_engine_says_that_no_model_makes_it() -> None:
    engine = Engine(ModelLibrary(), device="cpu")
    try:
        with pytest.raises(AtelierError, match="remove"):
            engine.submit(Remove(image=Raster(spotted()), mask=Raster(hole())))
    finally:
        engine.close()


@needs_patches
def test_the_command_line_removes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "request.json"
    path.write_text(json.dumps(to_json(Remove(image=Raster(spotted()), mask=Raster(hole())))))
    assert main(["generate", str(path), "--out", str(tmp_path / "out")]) == 0
    (made,) = json.loads(capsys.readouterr().out)["images"]
    assert read_settings(Path(made)).request.task == "remove"


@needs_patches
@pytest.mark.parametrize("fill", ["patches"])
def test_a_hole_can_begin_with_patches(fill: str) -> None:
    image, mask = Raster(spotted()), Raster(hole())
    assert parse_request(to_json(Inpaint(image=image, mask=mask, fill=fill))) == Inpaint(
        image=image, mask=mask, fill=fill
    )


@needs_patches
def test_a_large_hole_is_filled_in_a_smaller_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []

    def noting(colours: NDArray[np.uint8], where: NDArray[np.bool_]) -> NDArray[np.uint8]:
        seen.append(colours.shape)
        return colours

    monkeypatch.setattr(patches, "patches", noting)
    large, covered = np.zeros((600, 800, 3), np.uint8), np.zeros((600, 800), bool)
    covered[100:500, 200:600] = True
    large[covered] = 200
    made = patches.filled(large, covered, "patches", 120_000)
    assert seen == [(300, 400, 3)]
    assert made.shape == large.shape and not made[~covered].any()
    assert (made[300, 400] == 200).all()


def test_memory_that_runs_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_: object) -> NDArray[np.uint8]:
        raise MemoryError

    monkeypatch.setitem(patches.METHODS, "telea", short)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="Memory ran out at 232 x 160 pixels"):
        removed(Remove(image=Raster(spotted()), mask=Raster(hole()), fill="telea"))
