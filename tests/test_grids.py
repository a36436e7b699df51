"""Grids: what is written for an axis, the order in which pictures are made, and the picture of them all."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from app.grids.axes import KINDS, axis_of
from app.grids.legend import MOST_SIDE, draw, pages
from app.grids.plan import Cell, Plan, plan
from app.keeping.metadata import read_settings
from app.keeping.outgoing import without_facts
from app.studio.grids import Grids, outlook
from app.studio.paces import Paces
from ldm_core.errors import RequestError
from ldm_core.library.models import ModelLibrary
from ldm_core.request import ImageToImage, Request, parse_request
from ldm_core.request.raster import read_raster
from tests.picture_files import file_of, picture
from tests.test_cli import generate, models

__all__ = ["models"]

FIELDS: dict[str, object] = {
    "task": "text-to-image",
    "template": "a lake, trees, snow <lora:ink:1>",
    "negative_template": "fog",
    "seed": 5,
    "width": 64,
    "height": 64,
    "model": "landscapes",
}


def labels(kind: str, text: str) -> list[str]:
    return [value.label for value in axis_of(kind, text, FIELDS).values]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("steps", "10, 20 ,30", ["10", "20", "30"]),
        ("steps", "1-5", ["1", "2", "3", "4", "5"]),
        ("steps", "5-3", ["5", "4", "3"]),
        ("steps", "1-10 (+2)", ["1", "3", "5", "7", "9"]),
        ("steps", "10-5 (-3)", ["10", "7"]),
        ("steps", "1-10 [5]", ["1", "3", "6", "8", "10"]),
        ("guidance_scale", "1-2 (+0.25)", ["1", "1.25", "1.5", "1.75", "2"]),
        ("guidance_scale", "1-9 [5], 20", ["1", "3", "5", "7", "9", "20"]),
        ("eta", "0-1 (+0.5)", ["0", "0.5", "1"]),
        ("seed", "1-3", ["1", "2", "3"]),
        ("sampler", "ddim, DPM++ 2M", ["DDIM", "DPM++ 2M"]),
        ("model", '"one, two", three', ["one, two", "three"]),
        ("lora", "0-1 [3]", ["0", "0.5", "1"]),
        ("replace", "lake, sea", ["lake", "sea"]),
        ("order", "lake, trees", ["lake, trees", "trees, lake"]),
    ],
)
def test_what_is_written_for_an_axis(kind: str, text: str, expected: list[str]) -> None:
    assert labels(kind, text) == expected


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("steps", "", "values for Steps"),
        ("steps", "many", "numbers"),
        ("steps", "0", "1 to 250"),
        ("steps", "1-1000", "at most 200"),
        ("sampler", "best", "sampler is 'best'"),
        ("replace", "desert, sea", "in the prompt"),
        ("order", "a, b, c, d, e, f", "in the prompt"),
        ("nothing", "1", "one of"),
        ("seed", "1," * 15_000, "characters"),
    ],
)
def test_what_cannot_vary_is_a_sentence(kind: str, text: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        axis_of(kind, text, FIELDS)


@given(st.sampled_from(sorted(KINDS)), st.text("0123456789-+[](). ,a\"'", max_size=40))
@settings(max_examples=500, deadline=None)
def test_anything_is_an_axis_or_a_sentence(kind: str, text: str) -> None:
    try:
        assert axis_of(kind, text, FIELDS).values
    except RequestError as error:
        assert str(error).endswith(".")


def finished(fields: dict[str, object]) -> Request:
    prompts = {"prompt": fields["template"], "negative_prompt": fields["negative_template"]}
    return parse_request({**fields, **prompts})


def grid(*axes: tuple[str, str]) -> Plan:
    return plan(FIELDS, [axis_of(kind, text, FIELDS) for kind, text in axes], finished)


def test_dear_axes_change_least_often() -> None:
    made = grid(("model", "a, b"), ("steps", "1-2"), ("lora", "0, 1"))
    told = [(cell.request.model, cell.request.prompt[-3:-1], cell.request.steps) for cell in made.cells]
    assert told[:4] == [("a", ":0", 1), ("a", ":0", 2), ("a", ":1", 1), ("a", ":1", 2)]
    assert [cell.at for cell in made.cells[:3]] == [(0, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert len(made.cells) == 8 and {cell.request.seed for cell in made.cells} == {5}
    assert made.extent == "8 pictures (2 × 2 × 2)"


def test_how_long_a_grid_takes_is_known_from_what_its_model_made() -> None:
    """Before that it is said that it is not known."""
    paces = Paces(lambda: pytest.fail("no engine is asked"), ModelLibrary([]))
    made = grid(("steps", "5, 10"), ("sampler", "ddim, Heun"))
    unknown = (
        "4 pictures (2 × 2). How long they take is not known yet: nothing was made with landscapes since"
    )
    assert outlook(made, paces).startswith(unknown)
    paces.took(finished({**FIELDS, "model": "other"}), 100.0)
    assert outlook(made, paces).startswith(unknown)
    one = replace(finished(FIELDS), sampler="ddim", steps=10)
    paces.took(one, 2.0)
    # 5 + 10 steps of one network call, and as many of two.
    assert outlook(made, paces) == "4 pictures (2 × 2), about 9.0 s."
    paces.took(replace(one, sampler="heun"), 8.0)
    assert outlook(made, paces) == "4 pictures (2 × 2), about 15 s."


def test_a_grid_fills_as_its_pictures_are_saved(tmp_path: Path) -> None:
    grids, made = Grids(facts=True), grid(("steps", "1, 2"))
    grids.begin(made)
    assert grids.progress(made.requests[:1]) is None
    png = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 0, 0)).save(png, "PNG")
    for i, request in enumerate(reversed(made.requests), 1):
        grids.saved(tmp_path / "last.png", png.getvalue(), request)
        told = grids.progress(made.requests)
        assert told is not None and (told.done, told.count, told.pages) == (i, 2, 1)
    with Image.open(tmp_path / "last-grid.png") as legend:
        assert legend.width > 128
    assert told is not None and grids.drawn(told.id, 0) is not None
    assert grids.drawn(told.id, 1) is None and grids.drawn("another", 0) is None


def test_a_guest_s_grid_knows_its_requests_without_what_the_photograph_says_of_itself() -> None:
    exif = Image.Exif()
    exif[271] = "A maker"
    photograph = read_raster(file_of(picture(size=(64, 64)), "JPEG", exif=exif), "picture")
    request = ImageToImage(image=photograph)
    grids = Grids(facts=False)
    grids.begin(Plan((axis_of("seed", "1", FIELDS),), (Cell((0,), request),)))
    assert grids.progress([without_facts(request)]) is not None
    assert grids.progress([request]) is None


def test_words_are_replaced_and_ordered() -> None:
    made = grid(("replace", "fog, rain"), ("order", "lake, trees"))
    assert {cell.request.negative_prompt for cell in made.cells} == {"fog", "rain"}
    assert {cell.request.prompt[:13] for cell in made.cells} == {"a lake, trees", "a trees, lake"}


def test_too_many_are_refused_before_anything_starts() -> None:
    with pytest.raises(RequestError, match=r"30 × 30 = 900 pictures.*at most 400"):
        grid(("steps", "1-30"), ("seed", "1-30"))


def test_the_legend_has_every_picture_in_its_place() -> None:
    made = grid(("steps", "1-3"), ("seed", "7, 8"), ("guidance_scale", "1, 2"))
    colours = {cell.at: np.full((64, 64, 3), 20 * i + 10, np.uint8) for i, cell in enumerate(made.cells)}
    assert pages(made) == 2
    for page in range(2):
        sheet = np.asarray(draw(made, colours, page))
        found = [int(value) for value in np.unique(sheet) if (sheet == value).all(-1).sum() >= 64 * 64]
        assert set(found) >= {20 * i + 10 for i, cell in enumerate(made.cells) if cell.at[2] == page}
    missing = np.asarray(draw(made, {}, 0))
    assert (missing == 232).any()


def test_long_labels_and_many_pictures_stay_within_bounds() -> None:
    words = "lake, " + ", ".join(f"a very long description of scene number {i} of many" for i in range(60))
    sheet = draw(grid(("replace", words), ("steps", "1-4")), {})
    assert max(sheet.size) <= MOST_SIDE
    assert (np.asarray(sheet)[: sheet.height // 8] < 128).any()


def test_the_command_line_makes_grids(tmp_path: Path, models: Path) -> None:
    source = tmp_path / "request.json"
    asked = {"task": "text-to-image", "prompt": "a lake, trees", "width": 64, "height": 64, "seed": 3}
    source.write_text(json.dumps(asked))
    axes = ("--grid", "steps=1-3", "--grid", "replace=lake, sea")
    done = generate(source, tmp_path / "out", models, *axes)
    assert done.returncode == 0 and "6 pictures (3 × 2)" in done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    requests = [read_settings(Path(path)).request for path in told["images"]]
    assert {(one.steps, one.prompt) for one in requests} == {
        (steps, f"a {word}, trees") for steps in (1, 2, 3) for word in ("lake", "sea")
    }
    with Image.open(told["grid"][0]) as legend:
        assert legend.width > 3 * 64 and legend.height > 2 * 64
    for axis, words in (
        ("model=nowhere", "nowhere"),
        ("steps", "FIELD=VALUES"),
        ("replace=bird", "in the prompt"),
    ):
        refused = generate(source, tmp_path / "out", models, "--grid", axis)
        assert refused.returncode == 2 and words in refused.stderr
