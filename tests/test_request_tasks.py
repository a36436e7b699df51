"""What each task's request holds by itself, what its fields allow together, and what follows from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ldm_core import request as module
from ldm_core.errors import PictureError, RequestError
from ldm_core.request import (
    AdapterUse,
    Branch,
    ClassToImage,
    ImageToImage,
    Inpaint,
    LayoutToImage,
    Outpaint,
    Remove,
    Request,
    Semantic,
    SuperResolution,
    TextToImage,
    Unconditional,
    branched,
    decode_json,
    drawn_seed,
    lasting_branch,
    lineage,
    parse_request,
    rebased,
    to_json,
    varied,
)
from ldm_core.request.extensions import ControlUse, Extensions
from ldm_core.request.fields import FIXED
from ldm_core.request.raster import Raster
from ldm_core.request.rules import MAX_BOXES, MAX_SEEDS, LabelledBox


def picture(width: int, height: int) -> Raster:
    return Raster(np.zeros((height, width, 3), np.uint8))


def mask(width: int, height: int, white: int = 8) -> Raster:
    pixels = np.zeros((height, width), np.uint8)
    pixels[:white] = 255
    return Raster(pixels)


SMALL, MAP = picture(64, 80), Raster(np.zeros((80, 64), np.uint8))
LARGE = picture(4096, 1024)
BOX = {"class": "sun", "x": 0.0, "y": 0.5, "width": 0.25, "height": 0.5}
BOXES = (LabelledBox("sun", 0.0, 0.5, 0.25, 0.5),)

COMMON = {
    "prompt": "", "negative_prompt": "", "steps": 30, "sampler": "ddim", "eta": 0.0, "guidance_scale": 2.5,
    "seed": 0, "batch_size": 1, "spacing": "trailing", "guidance_rescale": 0.0, "guidance_start": 0.0,
    "guidance_end": 1.0, "variation_strength": 0.2, "model": "",
    "prompt_syntax": "auto", "prompt_weighting": "auto", "clip_skip": 0, "base_share": 0.2,
}  # fmt: skip
SIZED = {"width": 256, "height": 256, "second_pass": 0.0}
FILLING = {"fill": "noise", "paste": "feather"}
SIDES = {"left": 0, "right": 0, "top": 0, "bottom": 0}
# By task, what is not said means this: requests are kept in files, so it stays.
DEFAULTS: list[tuple[Request, dict[str, object]]] = [
    (TextToImage(), {"task": "text-to-image", **SIZED, "model": "landscapes"}),
    (Unconditional(), {"task": "unconditional", **SIZED}),
    (
        ClassToImage(class_name="a"),
        {"task": "class", **SIZED, "class_name": "a", "class_to": "", "blend": 0.5},
    ),
    (LayoutToImage(boxes=BOXES), {"task": "layout", **SIZED, "boxes": [BOX]}),
    (Semantic(label_map=MAP), {"task": "semantic", "second_pass": 0.0}),
    (ImageToImage(image=SMALL), {"task": "image-to-image", "strength": 0.6}),
    (
        Inpaint(image=SMALL, mask=mask(64, 80)),
        {"task": "inpaint", "area": "whole", "margin": 32, "feather": 4, **FILLING},
    ),
    (
        Remove(image=SMALL, mask=mask(64, 80)),
        {"task": "remove", "steps": 1, "feather": 2, "fill": "patches"},
    ),
    (Outpaint(image=SMALL), {"task": "outpaint", **SIDES, "feather": 16, **FILLING}),
    (SuperResolution(image=SMALL), {"task": "super-resolution", "guidance_scale": 1.0, "scale": 4}),
]


def refused(field: str, words: str, obj: dict[str, object]) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        parse_request(obj)
    assert caught.value.field == field


@pytest.mark.parametrize(("request_", "expected"), DEFAULTS, ids=[made.task for made, _ in DEFAULTS])
def test_what_is_not_said_means_the_same_for_ever(request_: Request, expected: dict[str, object]) -> None:
    obj = to_json(request_)
    pictures = {name: obj.pop(name) for name in ("image", "mask", "label_map") if name in obj}
    assert obj == COMMON | expected
    again = parse_request({"task": request_.task, **pictures, **expected})
    assert again == request_ and type(again) is type(request_)


def test_every_task_has_its_name() -> None:
    assert {name: kind.__name__ for name, kind in module.TASKS.items()} == {
        request.task: type(request).__name__ for request, _ in DEFAULTS
    }


def test_an_unknown_task_of_a_class_is_refused() -> None:
    with pytest.raises(RequestError, match="task is 'inpaint'; it has to be 'text-to-image'"):
        TextToImage(task="inpaint")


@pytest.mark.parametrize("low_high", [
    ("steps", 1, 250), ("width", 64, 2048), ("height", 64, 2048), ("guidance_scale", 0, 30), ("eta", 0, 1),
    ("batch_size", 1, 16), ("second_pass", 0, 1), ("variation_strength", 0, 1), ("guidance_rescale", 0, 1),
])  # fmt: skip
def test_the_ends_of_a_range_are_allowed_and_nothing_beyond(low_high: tuple[str, int, int]) -> None:
    field, *ends = low_high
    for value in ends:
        assert getattr(parse_request({"task": "text-to-image", field: value}), field) == value
    for value in (ends[0] - 1, ends[1] + 1):
        refused(field, f"{field} is", {"task": "text-to-image", field: value})


def test_pixels_at_the_ends_and_the_words_of_filling() -> None:
    for field in ("left", "right", "top", "bottom", "feather"):
        obj = {"task": "outpaint", "image": picture(128, 128)}
        assert getattr(parse_request({**obj, field: 1024}), field) == 1024
        refused(field, "from 0 to 1024", {**obj, field: 1025})
        refused(field, "from 0 to 1024", {**obj, field: -1})
    obj = {"task": "inpaint", "image": SMALL, "mask": mask(64, 80)}
    for field, words in {
        "fill": ("original", "noise", "telea"), "paste": ("feather", "match", "gradient"),
        "area": ("whole", "masked"),
    }.items():  # fmt: skip
        assert [getattr(parse_request({**obj, field: word}), field) for word in words] == list(words)
        refused(field, "has to be", {**obj, field: "x"})
    obj = {"task": "super-resolution", "image": SMALL}
    sizes = [parse_request({**obj, "scale": scale}).size for scale in (2, 4, 8)]
    assert sizes == [(128, 160), (256, 320), (512, 640)]
    refused("scale", "2, 4 or 8", {**obj, "scale": 3})


def test_names_and_texts_have_a_length() -> None:
    for field, most in (("model", 200), ("prompt", 20_000), ("negative_prompt", 20_000)):
        parse_request({"task": "text-to-image", field: "x" * most})
        refused(field, field, {"task": "text-to-image", field: "x" * (most + 1)})
    parse_request({"task": "class", "class_id": 100_000})
    refused("class_id", "100000", {"task": "class", "class_id": 100_001})
    parse_request({"task": "class", "class_name": "x" * 200})
    refused("class_name", "0 to 200", {"task": "class", "class_name": "x" * 201})
    with pytest.raises(RequestError, match=r"prompt is of type bytes"):
        TextToImage(prompt=b"x")  # type: ignore[arg-type]
    with pytest.raises(RequestError, match=r"steps is a list;"):
        TextToImage(steps=(1, 2))  # type: ignore[arg-type]
    with pytest.raises(RequestError, match=r"steps is a raster of 64 x 80 pixels;"):
        TextToImage(steps=SMALL)  # type: ignore[arg-type]
    refused("sampler", r"\(201 characters\)", {"task": "text-to-image", "sampler": "x" * 201})
    refused("sampler", r"is 'x{56}\.\.\.;", {"task": "text-to-image", "sampler": "x" * 200})
    refused("sampler", "is a list;", {"task": "text-to-image", "sampler": ["ddim", "plms"]})
    with pytest.raises(PictureError, match=r"^image: "):
        parse_request({"task": "image-to-image", "image": "data:image/png;base64,AAAA"})
    refused("steps", f"is {2**127};", {"task": "text-to-image", "steps": 2**127})
    refused("steps", "of about 39 digits", {"task": "text-to-image", "steps": 2**128})


# Sizes, and the steps that are made ---------------------------------------------------------------------


def test_the_size_of_what_is_made() -> None:
    assert TextToImage(width=128, height=64).size == (128, 64)
    assert Semantic(label_map=MAP).size == (64, 80)
    assert Inpaint(image=SMALL, mask=mask(64, 80)).size == (64, 80)
    assert Outpaint(image=SMALL, left=1, right=2, top=4, bottom=8).size == (67, 92)
    assert ImageToImage(image=SMALL).size == (64, 80)
    assert ImageToImage(image=SMALL, width=128, height=96).size == (128, 96)
    assert ImageToImage(image=LARGE).size == (2048, 512)
    assert Inpaint(image=LARGE, mask=mask(4096, 1024)).worked_size == (2048, 512)
    assert Outpaint(image=picture(2048, 256), left=1024).worked_size == (2048, 171)


def test_how_many_steps_are_made() -> None:
    assert TextToImage().num_steps(20) == 20
    for request in (TextToImage(second_pass=0.3), Semantic(label_map=MAP, second_pass=0.3)):
        assert request.num_steps(20) == 26 and request.num_steps(1) == 2
    assert Semantic(label_map=MAP).num_steps(20) == 20
    assert [ImageToImage(image=SMALL, strength=s).num_steps(20) for s in (0.0, 0.6, 1.0)] == [1, 12, 20]


def test_what_a_person_may_not_expect_is_said() -> None:
    smaller = "The whole picture is worked on at 2,048 x 512 pixels."
    assert ImageToImage(image=LARGE).notes() == (smaller,)
    assert ImageToImage(image=LARGE, width=1024, height=256).notes() == ()
    assert ImageToImage(image=picture(2048, 512)).notes() == ()
    noted = Raster(LARGE.pixels, notes=("It is turned.",))
    assert ImageToImage(image=noted).notes() == ("It is turned.", smaller)
    assert Outpaint(image=noted).notes() == ("It is turned.", smaller)
    assert Outpaint(image=SMALL, left=8).notes() == ()
    whole = Inpaint(image=noted, mask=mask(4096, 1024))
    assert whole.notes() == (
        "It is turned.", f"{smaller} Looked at alone, the masked part keeps all its pixels."
    )  # fmt: skip
    assert replace(whole, area="masked").notes() == ("It is turned.",)
    full = Inpaint(image=SMALL, mask=mask(64, 80, white=80))
    assert full.notes() == ("The mask covers the whole picture, so nothing of it is kept.",)
    assert TextToImage().notes() == ()


def test_without_guidance_the_negative_prompt_is_not_read() -> None:
    notes = {scale: TextToImage(negative_prompt="fog", guidance_scale=scale).notes() for scale in (0, 1, 2)}
    said = ("Without guidance (a scale of 1) what is to be left out is not read.",)
    assert notes == {0: said, 1: said, 2: ()}
    assert TextToImage(negative_prompt=" ", guidance_scale=1).notes() == ()


# What does not go together ------------------------------------------------------------------------------


def test_a_class_is_named_or_numbered() -> None:
    words = "; it has to be the name of one of the model's classes, or left out beside a class_id"
    refused("class_name", f"is missing{words}", {"task": "class"})
    refused(
        "class_name", f"is given beside class_id{words}", {"task": "class", "class_name": "a", "class_id": 0}
    )
    assert parse_request({"task": "class", "class_id": 0}) == ClassToImage(class_id=0)
    refused(
        "guidance_start", "at most", {"task": "class", "class_id": 1, "guidance_start": 1, "guidance_end": 0}
    )


def test_a_mask_suits_its_picture_and_leaves_something_to_fill() -> None:
    obj = {"task": "inpaint", "image": SMALL}
    words = "mask is of 80 x 64 pixels; it has to be as large as the image, 64 x 80"
    refused("mask", words, {**obj, "mask": mask(80, 64)})
    refused("mask", "mask is empty; it has to be white, 128 or more", {**obj, "mask": mask(64, 80, white=0)})
    grey = np.full((80, 64), 127, np.uint8)
    refused("mask", "empty", {**obj, "mask": Raster(grey)})
    grey[3, 4] = 128
    assert parse_request({**obj, "mask": Raster(grey)}).notes() == ()
    refused("image", "missing", {"task": "inpaint", "mask": mask(64, 80)})
    refused("mask", "missing", obj)
    refused("mask", "a mask as a data: URI", {**obj, "mask": SMALL})
    refused("image", "a picture as a data: URI", {**obj, "mask": mask(64, 80), "image": mask(64, 80)})
    refused("batch_size", "at most", {
        "task": "inpaint", "image": picture(2048, 2048), "mask": mask(2048, 2048), "batch_size": 5
    })  # fmt: skip


def test_a_picture_may_not_grow_beyond_what_is_read() -> None:
    long = picture(15_900, 1_200)
    assert Outpaint(image=long, left=484).size == (16_384, 1_200)
    words = r"image is 16,385 x 1,200 pixels large when extended; it has to be up to"
    refused("image", words, {"task": "outpaint", "image": long, "left": 485})
    assert SuperResolution(image=picture(4096, 1000), scale=4).size == (16_384, 4_000)
    words = (
        "image is 4097 x 1000 pixels large; it has to be so small that the result has at most 16384 pixels"
    )
    refused("image", words, {"task": "super-resolution", "image": picture(4097, 1000)})
    refused("batch_size", "at most 8 at 2048 x 1024", {
        "task": "outpaint", "image": picture(2048, 1024), "batch_size": 9
    })  # fmt: skip


def test_enlarging_takes_no_controls() -> None:
    control = {"name": "lines", "image": SMALL}
    obj = {"task": "super-resolution", "image": SMALL, "controls": [control]}
    refused("controls", "controls is there; it has to be left out", obj)
    assert parse_request({**obj, "task": "image-to-image"}).controls == (ControlUse("lines", SMALL),)


# Boxes --------------------------------------------------------------------------------------------------


def boxes(*values: object) -> tuple[LabelledBox, ...]:
    read = parse_request({"task": "layout", "boxes": list(values)})
    assert isinstance(read, LayoutToImage)
    return read.boxes


def test_boxes_are_read_and_kept() -> None:
    whole = {"class": 3, "x": 0, "y": 0, "width": 1, "height": 1}
    assert boxes(BOX, whole) == (BOXES[0], LabelledBox(3, 0.0, 0.0, 1.0, 1.0))
    assert boxes(*BOXES) == BOXES and boxes() == ()
    assert to_json(LayoutToImage(boxes=BOXES))["boxes"] == [BOX]
    third = {
        "class": "a",
        "x": 0.9,
        "y": 0.9,
        "width": 0.1 + 5e-7,
        "height": 0.1 + 5e-7,
    }  # rounded on the way
    assert len(boxes(third)) == 1
    assert len(boxes(*[BOX] * MAX_BOXES)) == MAX_BOXES
    assert boxes({**BOX, "class": "x" * 200})[0].label == "x" * 200


@pytest.mark.parametrize("change", [
    {"x": 0.76}, {"y": 0.51}, {"width": 0}, {"height": 0}, {"height": 0.50001}, {"x": -0.1}, {"class": ""},
    {"class": None}, {"class": -1}, {"class": "x" * 201}, {"class": 100_001}, {"colour": 1}, {"x": None},
    {"y": "0"}, {"width": None}, {"height": None}, {"y": None}, {"width": 0.250001 + 0.75},
], ids=str)  # fmt: skip
def test_a_box_that_is_none_is_refused(change: dict[str, object]) -> None:
    allowed = "boxes is .*; it has to be a list of up to 3[0-9]* boxes|boxes is"
    for entries in ([{**BOX, **change}], [BOX, {**BOX, **change}]):
        refused("boxes", allowed, {"task": "layout", "boxes": entries})


def test_what_is_no_list_of_boxes_is_refused() -> None:
    missing = {name: value for name, value in BOX.items() if name != "x"}
    for value in (BOX, "x", 3, [3], ["x"], [missing], [BOX] * (MAX_BOXES + 1)):
        refused("boxes", "a list of up to", {"task": "layout", "boxes": value})


# Adapters and controls ----------------------------------------------------------------------------------


def test_adapters_are_read_kept_and_limited() -> None:
    obj = {"task": "text-to-image", "adapters": [{"name": "ink"}, {"name": "b", "unet": -10, "text": 10}]}
    request = parse_request(obj)
    assert request.adapters == (AdapterUse("ink", 1.0, 1.0), AdapterUse("b", -10.0, 10.0))
    assert parse_request(to_json(request)) == request
    assert to_json(request)["adapters"] == [
        {"name": "ink", "unet": 1.0, "text": 1.0}, {"name": "b", "unet": -10.0, "text": 10.0}
    ]  # fmt: skip
    many = [{"name": str(i)} for i in range(33)]
    assert len(parse_request({**obj, "adapters": many[:32]}).adapters or ()) == 32
    one: dict[str, object] = {"name": "a"}
    wrong = [
        [one, one],
        [{}],
        [{"name": ""}],
        [one | {"x": 1}],
        [one | {"unet": 10.1}],
        [one | {"text": "1"}],
    ]
    for value in (many, [], *wrong, "a", ["a"], one):
        refused("adapters", "a list of 1 to 32 adapters", {**obj, "adapters": value})


def test_controls_are_read_kept_and_limited() -> None:
    hint = picture(8, 8)
    full = {"name": "lines", "image": hint, "strength": 2, "start": 0.25, "end": 0.25}
    obj = {"task": "text-to-image", "controls": [{"name": "lines", "image": hint}, full]}
    request = parse_request(obj)
    assert request.controls == (
        ControlUse("lines", hint, 1.0, 0.0, 1.0), ControlUse("lines", hint, 2.0, 0.25, 0.25)
    )  # fmt: skip
    assert parse_request(to_json(request)) == request
    assert request.extensions == Extensions((), ("lines",)) and request.extensions
    assert not TextToImage().extensions and TextToImage(adapters=(AdapterUse("ink"),)).extensions.adapters
    assert len(parse_request({**obj, "controls": [full] * 8}).controls or ()) == 8
    wrong: list[dict[str, object]] = [
        {"x": 1}, {"strength": 2.1}, {"strength": -0.1}, {"start": 0.3}, {"end": 1.1}, {"name": ""},
        {"image": mask(8, 8)},
    ]  # fmt: skip
    changed = [[full | change] for change in wrong]
    for value in ([full] * 9, [], [{"name": "a"}], [{"image": hint}], *changed, "a", ["a"], full):
        refused("controls", "a list of 1 to 8 controls", {**obj, "controls": value})


# Branches and variations --------------------------------------------------------------------------------


def test_variations_remember_what_they_vary() -> None:
    first = TextToImage(seed=5)
    second = varied(first, 7, 3)
    assert (second.variation_of, second.seed, second.batch_size) == ((5,), 7, 3)
    assert varied(second, 9, 1).variation_of == (5, 7)
    longest = replace(first, variation_of=tuple(range(MAX_SEEDS)))
    with pytest.raises(RequestError, match=f"a list of 1 to {MAX_SEEDS} whole numbers"):
        varied(longest, 1, 1)
    for value in ([], [-1], [2**64], 3, "3", [1.5]):
        refused("variation_of", "whole numbers", {"task": "text-to-image", "variation_of": value})


def test_branches_go_on_from_where_they_leave() -> None:
    first = TextToImage(prompt="a")
    second = branched(replace(first, prompt="b"), 8, first)
    assert second.branch == Branch(8, first) and lineage(second) == (first, second)
    third = branched(replace(first, prompt="c"), 12, second)
    assert lineage(third) == (first, second, third)
    assert branched(replace(first, prompt="d"), 8, second).branch == Branch(8, second)
    assert branched(replace(first, prompt="d"), 7, second).branch == Branch(7, first)  # before it left
    assert branched(second, 0, first).branch is None
    with pytest.raises(RequestError, match="at step 7; it has to be one of a single picture, at or after"):
        replace(first, branch=Branch(7, second))
    with pytest.raises(
        RequestError, match="branch is of type Branch; it has to be a branch: an object with step, from 1"
    ):
        replace(first, branch=Branch(251, first))
    with pytest.raises(RequestError, match="branch is a list"):
        replace(first, branch=(3, first))  # type: ignore[arg-type]


def test_a_branch_changes_nothing_that_is_fixed() -> None:
    first = TextToImage()
    for change in ({"steps": 9}, {"model": "x"}, {"spacing": "karras"}, {"width": 64}, {"second_pass": 0.5}):
        (field, value), before = *change.items(), replace(first, **change)  # type: ignore[arg-type]
        with pytest.raises(RequestError, match=f"it has to be as before the branch, {value!r}") as caught:
            replace(first, branch=Branch(3, before))
        assert caught.value.field == field
        assert getattr(rebased(first, before), field) == value
    wider, filled = Outpaint(image=SMALL, left=64), Inpaint(image=SMALL, mask=mask(64, 80))
    fixed: list[tuple[Request, str, object]] = [
        *((wider, side, 128) for side in ("left", "right", "top", "bottom")),
        *((wider, field, value) for field, value in (("feather", 5), ("paste", "match"), ("fill", "telea"))),
        *((filled, field, value) for field, value in (("area", "masked"), ("margin", 8))),
        (ImageToImage(image=SMALL), "strength", 0.5),
        (ImageToImage(image=SMALL), "image", Raster(SMALL.pixels + 1)),
        (SuperResolution(image=SMALL), "scale", 2),
    ]
    for request, field, value in fixed:
        with pytest.raises(RequestError, match="as before the branch") as caught:
            replace(request, branch=Branch(3, replace(request, **{field: value})))  # type: ignore[arg-type]
        assert caught.value.field == field
    of = Semantic(label_map=MAP)
    with pytest.raises(RequestError, match="branch is of another size; it has to be of a picture of 64 x 80"):
        Semantic(label_map=Raster(np.zeros((64, 80), np.uint8)), branch=Branch(3, of))
    assert Semantic(label_map=Raster(MAP.pixels + 1), branch=Branch(3, of)).branch == Branch(3, of)
    with pytest.raises(RequestError, match="task is 'text-to-image'; it has to be as before the branch"):
        rebased(first, Unconditional())
    with pytest.raises(RequestError, match="branch is at step 3; it has to be one of a single picture"):
        replace(first, branch=Branch(3, TextToImage(batch_size=2)))


def test_a_mask_that_decides_where_to_look_stays() -> None:
    first = Inpaint(image=SMALL, mask=mask(64, 80))
    other = replace(first, mask=mask(64, 80, white=9))
    assert replace(other, branch=Branch(3, first)).branch
    alone = replace(first, area="masked")
    assert replace(alone, seed=3, branch=Branch(3, alone)).branch
    with pytest.raises(RequestError, match=r"mask is .*; it has to be as before the branch where area is"):
        replace(other, area="masked", branch=Branch(3, alone))
    with pytest.raises(RequestError, match="steps is 30; it has to be as before"):
        replace(first, branch=Branch(3, replace(first, steps=9)))


def test_a_picture_has_so_many_branches_at_most() -> None:
    request = TextToImage()
    for _ in range(module.BRANCHINGS):
        request = branched(request, 3, request)
    assert len(lineage(request)) == module.BRANCHINGS + 1
    words = rf"^branch is the picture's {module.BRANCHINGS + 1}th; it has to be one of at most"
    with pytest.raises(RequestError, match=words):
        branched(request, 3, request)


def test_a_branch_that_lasts_says_all_that_may_change() -> None:
    assert lasting_branch(TextToImage()) is None
    first = TextToImage(prompt="a", adapters=(AdapterUse("ink"),))
    second = TextToImage(prompt="b", seed=3, branch=Branch(8, first))
    kept = lasting_branch(second)
    assert kept is not None and kept["step"] == 8
    of = kept["of"]
    assert isinstance(of, dict) and not set(of) & {*FIXED, "batch_size", "branch"}
    assert (of["prompt"], of["seed"], of["variation_of"]) == ("a", 0, None)
    assert of["adapters"] == [{"name": "ink", "unet": 1.0, "text": 1.0}]
    other = {**to_json(replace(second, branch=None)), "prompt": "c", "guidance_scale": 9.0, "branch": kept}
    assert parse_request(other) == replace(second, prompt="c", guidance_scale=9.0)
    third = replace(second, prompt="c", branch=Branch(9, second))
    assert parse_request({**to_json(replace(third, branch=None)), "branch": lasting_branch(third)}) == third
    said = to_json(third)["branch"]
    assert isinstance(said, dict) and said["step"] == 9
    assert said["of"]["prompt"] == "b" and said["of"]["branch"]["of"]["seed"] == 0


def test_json_of_many_kinds() -> None:
    with pytest.raises(RequestError, match=r"is 100,000,001 long; it has to be JSON of at most 100,000,000"):
        decode_json(" " * 100_000_001)
    assert decode_json(b"\xef\xbb\xbf[1]") == decode_json("\ufeff[1]") == [1]
    for text, words in {
        '{"a": 1, "a": 2}': "a is there twice; it has to be given once",
        "[NaN]": r"request is not JSON \(NaN is no JSON number\); it has to be a JSON object of finite",
        "[1,\n2": r"request is not JSON \(Expecting ',' delimiter at line 2, column 2\)",
        "[" * 100_000: "request is nested too deeply; it has to be a flat JSON object",
        "1" * 5_000: "request is a number too long",
    }.items():
        with pytest.raises(RequestError, match=words):
            decode_json(text)
    with pytest.raises(RequestError, match="request is not UTF-8 text; it has to be a JSON object in UTF-8"):
        decode_json(b"\xff")


def test_seeds_are_drawn_from_ten_million() -> None:
    drawn = [drawn_seed() for _ in range(200)]
    assert len(set(drawn)) > 190 and min(drawn) >= 0 and 10**6 < max(drawn) < 10**7


def test_a_branch_that_is_none_is_refused_and_pictures_are_read_once() -> None:
    obj = to_json(ImageToImage(image=SMALL))
    of = {"seed": 3}
    for wrong in ({"step": 0, "of": of}, {"step": 251, "of": of}, {"step": 1}, {"step": 1, "of": 3},
                  {"step": 1, "of": of, "x": 1}):  # fmt: skip
        refused(
            "branch", "it has to be a branch: an object with step, from 1 to 250", {**obj, "branch": wrong}
        )
    request = parse_request({**obj, "branch": {"step": 1, "of": of}})
    assert request.branch is not None and isinstance(request, ImageToImage)
    assert isinstance(request.branch.of, ImageToImage) and request.branch.of.image is request.image
    refused("width", "as before the branch, 256", {
        "task": "text-to-image", "width": 512, "branch": {"step": 1, "of": {"width": 256}}
    })  # fmt: skip
    refused("branch", "of a single picture, at or after its own", {
        "task": "text-to-image", "branch": {"step": 1, "of": {"batch_size": 2}}
    })  # fmt: skip
