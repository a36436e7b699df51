"""Requests: what is accepted, what is refused, and that the sentence says which field, what and why."""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldm_core import request as module
from ldm_core.errors import RequestError
from ldm_core.request import TextToImage, parse_json, parse_request, single, to_json

TASK = {"task": "text-to-image"}

numbers = {
    "width": st.integers(*module.SIZE),
    "height": st.integers(*module.SIZE),
    "steps": st.integers(*module.STEPS),
    "seed": st.integers(0, module.SEED[1] - 16),
    "batch_size": st.integers(1, 4),
    "eta": st.floats(*module.ETA),
    "guidance_scale": st.floats(*module.GUIDANCE),
    "guidance_rescale": st.floats(*module.FRACTION),
    "guidance_start": st.floats(0, 0.5),
    "guidance_end": st.floats(0.5, 1),
}
valid_objects = st.fixed_dictionaries(
    {"task": st.just("text-to-image")},
    optional=numbers
    | {
        "model": st.text("abcé-_ 1", min_size=1, max_size=20),
        "prompt": st.text(max_size=200),
        "negative_prompt": st.text(max_size=200),
        "sampler": st.sampled_from(list(module.SAMPLERS)),
        "spacing": st.sampled_from(list(module.SPACINGS)),
    },
).filter(lambda o: o.get("width", 256) * o.get("height", 256) * o.get("batch_size", 1) <= module.PIXEL_BUDGET)

# Values that no field at all takes.
nonsense = st.one_of(
    st.none(),
    st.booleans(),
    st.just(math.nan),
    st.sampled_from([math.inf, -math.inf, 2**80, -(2**80), 10**6000, 1e308, -1, -0.5, 10**7]),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.just("x" * 1_000_000),
    st.binary(max_size=5),
)


def sentence(error: RequestError) -> str:
    """The message, checked for its form: one sentence that a person can read."""
    text = str(error)
    assert text.endswith(".") and "\n" not in text and len(text) < 400, text
    assert "Traceback" not in text and "object at 0x" not in text
    assert text.startswith(f"{error.field} is ")
    return text


def refused(field: str, value: object) -> str:
    with pytest.raises(RequestError) as caught:
        parse_request({**TASK, field: value})
    assert caught.value.field == field
    return sentence(caught.value)


@given(valid_objects)
def test_valid_objects_survive_a_round_trip(obj: dict[str, object]) -> None:
    request = parse_request(obj)
    assert parse_request(to_json(request)) == request
    assert parse_json(json.dumps(to_json(request))) == request
    assert parse_json(json.dumps(to_json(request), ensure_ascii=False).encode("utf-8")) == request


@given(st.sampled_from(sorted(to_json(TextToImage()))), nonsense)
@settings(max_examples=300)
def test_nonsense_is_refused_naming_the_field(field: str, value: object) -> None:
    if field == "seed" and value in (10**7, -1):
        return
    refused(field, value)


*_FIRST, _LAST = (repr(task) for task in module.TASKS)
TASK_WORDS = f"{', '.join(_FIRST)} or {_LAST}"
*_FIRST, _LAST = (repr(sampler) for sampler in module.SAMPLERS)
NAMES = f"{', '.join(_FIRST)} or {_LAST}"
WRONG = [
    ("steps", 0, "steps is 0; it has to be a whole number from 1 to 250."),
    ("steps", 2.5, "steps is 2.5; it has to be a whole number from 1 to 250."),
    ("steps", "20", "steps is '20'; it has to be a whole number from 1 to 250."),
    ("steps", True, "steps is True; it has to be a whole number from 1 to 250."),
    ("steps", None, "steps is None; it has to be a whole number from 1 to 250."),
    ("steps", [1], "steps is [1]; it has to be a whole number from 1 to 250."),
    ("steps", math.nan, "steps is nan; it has to be a whole number from 1 to 250."),
    (
        "steps",
        10**5000,
        "steps is a number of about 5,001 digits; it has to be a whole number from 1 to 250.",
    ),
    ("width", 7, "width is 7; it has to be a whole number from 64 to 2048."),
    ("seed", 2**80, f"seed is {2**80}; it has to be a whole number from 0 to {2**64 - 1}."),
    ("eta", 1.01, "eta is 1.01; it has to be a number from 0 to 1."),
    ("guidance_scale", math.inf, "guidance_scale is inf; it has to be a number from 0 to 30."),
    ("sampler", "DDIM", f"sampler is 'DDIM'; it has to be {NAMES}."),
    ("sampler", {}, f"sampler is an object; it has to be {NAMES}."),
    ("guidance_rescale", -0.1, "guidance_rescale is -0.1; it has to be a number from 0 to 1."),
    ("guidance_start", 2, "guidance_start is 2; it has to be a number from 0 to 1."),
    ("guidance_end", None, "guidance_end is None; it has to be a number from 0 to 1."),
    ("model", "a\x00b", r"model is 'a\x00b'; it has to be a name of 0 to 200 printable characters."),
    ("prompt", None, "prompt is None; it has to be text of up to 20,000 characters."),
    (
        "prompt",
        "x" * 10_000_000,
        "prompt is 'xxxxxxxxxxxxxxxxxxxx'... (10,000,000 characters); "
        "it has to be text of up to 20,000 characters.",
    ),
    ("task", "painting", f"task is 'painting'; it has to be {TASK_WORDS}."),
]


@pytest.mark.parametrize(
    ("field", "value", "message"), WRONG, ids=[f"{i}-{w[0]}" for i, w in enumerate(WRONG)]
)
def test_the_sentence(field: str, value: object, message: str) -> None:
    started = time.perf_counter()
    assert refused(field, value) == message
    assert time.perf_counter() - started < 1


@given(
    valid_objects,
    st.lists(st.sampled_from(sorted(to_json(TextToImage()))), min_size=1, max_size=4),
    st.data(),
)
def test_a_request_is_valid_or_refused_never_something_else(
    obj: dict[str, object], fields: list[str], data: st.DataObject
) -> None:
    for field in fields:
        obj[field] = data.draw(nonsense | st.integers(-10, 3000) | st.floats(), label=field)
    try:
        request = parse_request(obj)
    except RequestError as error:
        sentence(error)
    else:
        assert parse_request(to_json(request)) == request


def test_whole_floats_are_integers_and_integers_are_floats() -> None:
    request = parse_request({**TASK, "steps": 30.0, "guidance_scale": 3, "eta": -0.0})
    assert (type(request.steps), request.steps) == (int, 30)
    assert type(request.guidance_scale) is float
    assert math.copysign(1, request.eta) == 1


def test_text_is_cleaned_but_not_rewritten() -> None:
    kept = "mon\u0303tagne \U0001f469\u200d\U0001f680 \u202eabc\tlake\nsnow"
    request = parse_request({**TASK, "prompt": f"\x00{kept}\ud800\x1b\x7f\x9f\r\nend"})
    assert request.prompt == f"{kept}\nend"
    request.prompt.encode("utf-8")


def test_the_constructor_and_replace_check_too() -> None:
    with pytest.raises(RequestError, match="width is 7"):
        TextToImage(width=7)
    with pytest.raises(RequestError, match="steps is 0"):
        replace(TextToImage(), steps=0)
    with pytest.raises(FrozenInstanceError):
        TextToImage().steps = 3  # type: ignore[misc]


def test_pixel_budget() -> None:
    assert parse_request({**TASK, "width": 2048, "height": 2048, "batch_size": 4}).batch_size == 4
    with pytest.raises(RequestError, match="batch_size is 5; it has to be at most 4 at 2048 x 2048 pixels"):
        parse_request({**TASK, "width": 2048, "height": 2048, "batch_size": 5})


def test_guidance_ends_after_it_starts() -> None:
    assert parse_request({**TASK, "guidance_start": 0.3, "guidance_end": 0.3}).guidance_end == 0.3
    with pytest.raises(RequestError, match=r"guidance_start is 0.5; it has to be at most guidance_end, 0.25"):
        parse_request({**TASK, "guidance_start": 0.5, "guidance_end": 0.25})


def test_spacing_follows_the_sampler_unless_it_is_given() -> None:
    assert parse_request({**TASK, "sampler": "unipc"}).spacing == "karras"
    assert parse_request({**TASK, "sampler": "euler"}).spacing == "trailing"
    assert parse_request({**TASK, "sampler": "unipc", "spacing": "uniform"}).spacing == "uniform"


def test_requests_of_the_first_version_mean_the_same() -> None:
    stored = (
        '{"task": "text-to-image", "model": "landscapes", "prompt": "a lake", "negative_prompt": "", '
        '"width": 256, "height": 256, "steps": 20, "sampler": "plms", "eta": 0.0, "guidance_scale": 2.5, '
        '"seed": 3, "batch_size": 1, "spacing": "uniform"}'
    )
    assert parse_json(stored) == TextToImage(
        prompt="a lake", steps=20, sampler="plms", seed=3, spacing="uniform"
    )
    assert (parse_json(stored).guidance_start, parse_json(stored).guidance_end) == (0.0, 1.0)


def test_seeds_beyond_what_javascript_counts_are_texts() -> None:
    for seed in (2**53 - 1, 2**53, 2**64 - 1):
        request = TextToImage(seed=seed, variation_of=(seed, 3))
        obj = to_json(request)
        exact = seed if seed < 2**53 else str(seed)
        assert (obj["seed"], obj["variation_of"]) == (exact, [exact, 3])
        assert parse_request(obj) == request
    for text in ("-1 ", "1.0", "", "¹", "1" * 5000, str(2**64)):
        refused("seed", text)


def test_minus_one_draws_a_seed() -> None:
    for seed in (-1, -1.0, "-1"):
        drawn = {parse_request({**TASK, "seed": seed}).seed for _ in range(8)}
        assert len(drawn) > 1 and all(0 <= one < 10**7 for one in drawn)
    refused("seed", -2)
    # What a picture was before its branch is known.
    with pytest.raises(RequestError, match=r"^seed is -1"):
        parse_request({**TASK, "branch": {"step": 2, "of": {"seed": -1}}})


def test_single_pictures_of_a_batch() -> None:
    batch = TextToImage(seed=5, batch_size=3)
    assert [single(batch, i).seed for i in range(3)] == [5, 6, 7]
    assert single(batch, 2) == TextToImage(seed=7)
    for i in (-1, 3):
        with pytest.raises(IndexError):
            single(batch, i)
    assert single(TextToImage(seed=module.SEED[1] - 1, batch_size=2), 1).seed == module.SEED[1]
    with pytest.raises(RequestError, match=r"^seed is"):
        TextToImage(seed=module.SEED[1], batch_size=2)


@pytest.mark.parametrize("obj", [None, 3, "x", [], [1, 2], True, math.nan])
def test_only_objects_are_requests(obj: object) -> None:
    with pytest.raises(RequestError) as caught:
        parse_request(obj)
    assert "a JSON object" in sentence(caught.value)


def test_unknown_and_missing_fields() -> None:
    with pytest.raises(
        RequestError, match=r"^colour is 'red'; it has to be left out: the fields are task, model"
    ):
        parse_request({**TASK, "colour": "red"})
    with pytest.raises(RequestError, match=rf"^task is missing; it has to be {TASK_WORDS}.$"):
        parse_request({"prompt": "x"})
    with pytest.raises(RequestError) as caught:
        parse_request({**TASK, "z" * 10**6: 1})
    assert len(str(caught.value)) < 700
    with pytest.raises(RequestError):
        parse_request({**TASK, 3: 1})


BAD_JSON = {
    "empty": "",
    "cut": '{"task": ',
    "twice": '{"task": "text-to-image", "seed": 1, "seed": 2}',
    "NaN": '{"task": "text-to-image", "eta": NaN}',
    "Infinity": '{"task": "text-to-image", "eta": -Infinity}',
    "overflow": '{"task": "text-to-image", "eta": 1e999}',
    "digits": '{"task": "text-to-image", "seed": ' + "1" * 5000 + "}",
    "deep": "[" * 100_000,
    "deep object": '{"a":' * 100_000,
    "deep and whole": '{"task": "text-to-image", "eta": ' + "[" * 900 + "]" * 900 + "}",
    "large": '{"task": "text-to-image", "prompt": "' + "x" * 1_000_000 + '"}',
    "not utf-8": b'{"task": "\xff"}',
    "utf-16": '{"task": "text-to-image"}'.encode("utf-16"),
    "trailing": '{"task": "text-to-image"} x',
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_bad_json_is_refused_at_once(name: str) -> None:
    started = time.perf_counter()
    with pytest.raises(RequestError) as caught:
        parse_json(BAD_JSON[name])
    sentence(caught.value)
    of_a_field = {"twice": "seed", "overflow": "eta", "deep and whole": "eta", "large": "prompt"}
    assert caught.value.field == of_a_field.get(name, "request")
    assert time.perf_counter() - started < 1


def test_json_with_a_byte_order_mark() -> None:
    for text in ("\ufeff" + json.dumps(TASK), b"\xef\xbb\xbf" + json.dumps(TASK).encode()):
        assert parse_json(text) == TextToImage()


def test_defaults_are_documented_by_the_rules() -> None:
    assert set(to_json(TextToImage())) <= {"task", *module.RULES}
    assert all(re.match(r"^(a |'|text|2)", rule.allowed) for rule in module.RULES.values())
