"""What a person gives becomes what the UNet takes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ldm_core.conditioners import (
    Box,
    BoxMapSpec,
    Cond,
    Conditioner,
    Inputs,
    KnownRegionSpec,
    LabelBitsSpec,
    LabelMapSpec,
    LayoutSpec,
    LowResolutionSpec,
    MaskedImageSpec,
)
from ldm_core.conditioners.layout import layout_tokens
from ldm_core.conditioners.spatial import (
    box_map,
    box_tensor,
    known_region,
    label_bits,
    label_map,
    labels_of,
    masked_image,
    with_bits,
    without_hole,
)
from ldm_core.conditioners.tokenizer import Tokenizer
from ldm_core.errors import ConfigError, RequestError
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.training.export import write_vocabulary
from tests import tiny

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", ",", "lake", "sunset", "over", "a", "##s"]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(TOKENS) + "\n", "utf-8")
    return Tokenizer(path, max_length=8)


def test_prompts_are_framed_and_padded(tokenizer: Tokenizer) -> None:
    assert tokenizer(["Sunset over a lake", ""]).tolist() == [
        [2, 6, 7, 8, 5, 3, 0, 0],
        [2, 3, 0, 0, 0, 0, 0, 0],
    ]


def test_long_prompts_are_cut_and_keep_their_end_token(tokenizer: Tokenizer) -> None:
    ids = tokenizer(["lake " * 50])[0].tolist()
    assert ids == [2, 5, 5, 5, 5, 5, 5, 3]


def test_pieces_of_words(tokenizer: Tokenizer) -> None:
    assert tokenizer(["lakes"])[0].tolist()[:4] == [2, 5, 9, 3]


def test_unknown_words_are_named_once_in_order(tokenizer: Tokenizer) -> None:
    assert tokenizer.unknown_words("a Dragon over a lake, dragon and Dragon") == ("Dragon", "dragon", "and")
    assert tokenizer.unknown_words("sunset over a lake") == ()


@pytest.fixture
def of_whole_words(tmp_path: Path) -> Tokenizer:
    """As our own training writes it."""
    path = tmp_path / "vocab.txt"
    words = "a capped coloured evening fir gray hut lake mountain mountains over peaks river sky snow windy"
    write_vocabulary(words.split(), path)
    return Tokenizer(path, max_length=12)


@pytest.mark.parametrize(
    ("prompt", "read"),
    [
        ("Firs, LAKES and huts", "fir , lake [UNK] hut"),
        ("Snow-capped peaks!", "snow capped peaks"),
        ("snowcapped peaks over a lake-sky", "snow capped peaks over a lake sky"),
        ("the lake’s grey, greyish; windier sky", "[UNK] lake gray , gray windy sky"),
        ("colored rivers / evenings", "coloured river evening"),
        ("a dragon over a hut...", "a [UNK] over a hut . . ."),
        ("🙂 湖", "[UNK]"),
    ],
)
def test_other_forms_of_known_words_are_read(
    of_whole_words: Tokenizer, tmp_path: Path, prompt: str, read: str
) -> None:
    tokens = (tmp_path / "vocab.txt").read_text("utf-8").splitlines()
    ids = of_whole_words([prompt, "lake"])[0]
    assert [tokens[i] for i in ids if i] == ["[CLS]", *read.split(), "[SEP]"]


def test_words_of_which_no_form_is_known_are_named_with_the_nearest(of_whole_words: Tokenizer) -> None:
    assert of_whole_words.unknown_words("Mountian huts, a dragon & a lake’s Dragon!") == (
        "Mountian",
        "dragon",
        "Dragon",
    )
    assert of_whole_words.prompt_notes("a Mountian hut, a dragon") == (
        "This model never learnt “Mountian” (it knows “mountain”), “dragon”."
    )
    assert of_whole_words.prompt_notes("b c d e f g h").endswith("“g” and more.")
    assert of_whole_words.prompt_notes("a snowy hut over a lake’s peaks!") == ""


def test_where_a_prompt_is_cut_is_told(of_whole_words: Tokenizer) -> None:
    assert of_whole_words.prompt_notes("a hut " * 5) == ""
    assert of_whole_words.prompt_notes("a hut " * 5 + "a lake") == (
        "It reads 10 words; these come behind them and are not read: “a”, “lake”."
    )


@given(text=st.text(max_size=60))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_can_be_read(of_whole_words: Tokenizer, text: str) -> None:
    ids = of_whole_words([text])[0].tolist()
    assert len(ids) == 12 and ids[0] == 2 and 3 in ids
    assert all(word in text for word in of_whole_words.unknown_words(text))


@pytest.mark.parametrize("content", [None, "", "lake\nsunset\n"])
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "vocab.txt"
    if content is not None:
        path.write_text(content, "utf-8")
    with pytest.raises(ConfigError, match=r"vocab\.txt is no BERT vocabulary"):
        Tokenizer(path, 8)


def test_layout_tokens_are_the_reference_s(shared: Path) -> None:
    for case in json.loads((shared / "golden/layout_tokens/golden.json").read_text()):
        spec = LayoutSpec(1, 1, case["num_tokens"], 3 * case["max_objects"] + 2)
        boxes = [Box(c, x, y, x + w, y + h) for c, (x, y, w, h) in case["boxes_class_x_y_w_h"]]
        assert layout_tokens(boxes, spec) == case["tokens"]


def test_known_region_says_which_share_of_a_cell_is_known() -> None:
    z, mask = torch.full((2, 2, 2, 5), 3.0), torch.zeros(2, 1, 8, 20)
    mask[0, ..., :4, :4] = 1  # the first cell
    mask[0, ..., 4:, 18:] = 1  # half of the last cell
    mask[1] = 1
    got = known_region(z, mask)
    assert (got[0, :2] == 3).all()
    assert got[0, 2].tolist() == [[0, 1, 1, 1, 1], [1, 1, 1, 1, 0.5]]
    assert not got[1].any()  # as if no picture were given


def test_a_hole_is_closed_from_its_border_whatever_is_in_it() -> None:
    """On a slope the border's smooth continuation is the slope."""
    rows, columns = torch.linspace(-0.5, 0.5, 40)[:, None], torch.linspace(-0.9, 0.9, 60).repeat(40, 1)
    image = torch.stack([rows + 0 * columns, columns, rows + columns / 2])[None]
    mask = torch.zeros(1, 1, 40, 60)
    mask[..., 8:24, 20:45] = 1
    torch.manual_seed(0)
    others = [image.where(mask == 0, torch.randn(1, 3, 40, 60)) for _ in range(2)]
    closed = [without_hole(other, mask) for other in others]
    assert (closed[0] == closed[1]).all()
    assert (closed[0] == image)[(mask == 0).expand_as(image)].all()
    assert (closed[0] - image).abs().max() < 0.02


def test_label_map_is_the_share_of_each_class_in_a_cell() -> None:
    labels = torch.tensor([[[0, 0, 1, 255], [0, 1, 255, 255]]], dtype=torch.uint8)
    got = label_map(labels, 2, (1, 2))
    assert got.tolist() == [[[[0.75, 0.0]], [[0.25, 0.25]]]]
    assert not label_map(torch.full((1, 4, 4), 255, dtype=torch.uint8), 3, (2, 2)).any()


def test_box_map_is_the_share_of_each_cell_that_is_covered() -> None:
    boxes = [Box(1, 0.0, 0.0, 0.75, 0.5), Box(1, 0.0, 0.0, 0.25, 1.0), Box(0, 0.5, 0.5, 1.0, 1.0)]
    got = box_map(box_tensor(boxes), 2, (2, 2))[0]
    assert got[0].tolist() == [[0, 0], [0, 1]]
    # The first cell is covered by one box wholly and by another in half.
    assert got[1].tolist() == [[1, 0.5], [0.5, 0]]
    half = box_map(box_tensor([Box(0, 0.0, 0.0, 0.5, 1.0)] * 2), 1, (1, 1))
    assert half.item() == 1 - 0.5 * 0.5
    assert not box_map(box_tensor(()), 2, (2, 2)).any()
    nothing = torch.tensor([[[-1.0, 0, 0, 1, 1]]])
    assert not box_map(nothing, 2, (2, 2)).any()


def test_masked_image() -> None:
    image, mask = torch.full((1, 3, 1, 2), 0.5), torch.tensor([[[[1.0, 0.0]]]])
    assert masked_image(image, mask)[0, 0].tolist() == [[-1.0, 0.5]]


def test_conditions_are_joined_and_taken_apart() -> None:
    one = Cond(context=torch.zeros(1, 3, 4), concat=torch.ones(1, 2, 5, 5))
    two = Cond(context=torch.ones(1, 3, 4), concat=torch.zeros(1, 2, 5, 5))
    both = Cond.cat([one, two])
    assert both.shape == ((2, 3, 4), (2, 2, 5, 5), None, None) and one.shape == two.shape
    assert torch.equal(both[1:].context, two.context) and torch.equal(both[:1].concat, one.concat)
    assert Cond.cat([Cond(), Cond()]).shape == (None,) * 4


OURS = (KnownRegionSpec(), LabelMapSpec(3, classes=("a", "b", "c")), BoxMapSpec(("sun",)))


def model_with(conditioners: tuple[Conditioner, ...], channels: int) -> LatentDiffusion:
    unet = replace(tiny.SPEC.unet, in_channels=4 + channels)
    torch.manual_seed(0)
    return LatentDiffusion(replace(tiny.SPEC, unet=unet, conditioners=conditioners)).eval()


def test_one_model_takes_any_combination_of_our_conditions() -> None:
    model = model_with(OURS, 5 + 3 + 1)
    image, mask = torch.rand(3, 32, 32), torch.ones(1, 32, 32)
    mask[..., :16] = 0
    labels = torch.full((32, 32), 1, dtype=torch.uint8)
    given = [
        Inputs(),
        Inputs(image=image, mask=mask),
        Inputs(label_map=labels),
        Inputs(boxes=(Box(0, 0, 0, 1, 0.5),)),
        Inputs(image=image, mask=mask, label_map=labels),
    ]
    concat = model.condition(given, (4, 4)).concat
    assert concat is not None and concat.shape == (5, 9, 4, 4)
    assert not concat[0].any()
    known, labelled, boxed = concat[:, :5], concat[:, 5:8], concat[:, 8:]
    assert [bool(part.any()) for part in known] == [False, True, False, False, True]
    assert [bool(part.any()) for part in labelled] == [False, False, True, False, True]
    assert [bool(part.any()) for part in boxed] == [False, False, False, True, False]
    assert torch.equal(known[1, :4], model.encode(without_hole(image[None], mask[None]))[0])
    assert known[1, 4].tolist() == [[1, 1, 0, 0]] * 4


@pytest.mark.parametrize(
    ("conditioner", "channels", "field"),
    [
        (LabelMapSpec(3, channels=2, halvings=3), 2, "label_map"),
        (LowResolutionSpec(), 3, "low_res"),
        (MaskedImageSpec(), 5, "image"),
    ],
)
def test_what_a_model_cannot_do_without_is_named(conditioner: Conditioner, channels: int, field: str) -> None:
    model = model_with((conditioner,), channels)
    with pytest.raises(RequestError, match=f"{field} is None; it has to be given"):
        model.condition([Inputs()], (4, 4))


def test_a_label_maps_digits_are_read_back_and_say_where_they_count() -> None:
    spec = LabelBitsSpec(tuple(f"class {i}" for i in range(14)), scale=1.5)
    labels = torch.arange(14, dtype=torch.uint8).repeat(2)[:16].view(1, 4, 4)
    large = labels.repeat_interleave(8, 1).repeat_interleave(8, 2).clone()
    bits, said = label_bits(large, spec, (4, 4))
    assert bits.shape == (1, 4, 4, 4)
    assert set(bits.unique().tolist()) == {-1.5, 1.5}
    assert (labels_of(bits, spec) == labels).all()
    assert (labels_of(bits + 0.7 * torch.randn(bits.shape).clamp(-1, 1), spec) == labels).all()
    large[:, :8] = 255
    _, said = label_bits(large, spec, (4, 4))
    assert said[0, 0].tolist() == [[0] * 4, [1] * 4, [1] * 4, [1] * 4]
    x = torch.zeros(1, 6, 4, 4)
    given = with_bits(x, torch.cat([bits, said], dim=1))
    assert (given[:, :2] == 0).all() and (given[:, 2:, 0] == 0).all()
    assert (given[:, 2:, 1:] == bits[:, :, 1:]).all()
