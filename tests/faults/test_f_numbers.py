"""Sections D to F as programs send them: pictures, prompts and numbers that no request can have."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable

import pytest

from tests.faults.conftest import SMALL, Asking, png, uri

Guest = Callable[[int], Asking]
INF, NAN = float("inf"), float("nan")


WRONG: dict[str, tuple[object, ...]] = {
    "steps": (0, -1, 10**9, 2.5, True, None, [1], "many", {}, "1e400"),
    "width": (0, -8, 10**6, 8191, "wide", None, [64], 2**64),
    "height": (0, -8, 10**6, True),
    "batch_size": (0, -1, 10**6, None, 1.5),
    "guidance_scale": (10**9, -(10**9), "x", None, []),
    "seed": (-1, 2**64, "x", 1.5, [1]),
    "sampler": ("none", "", None, 3, [], {}, "../ddim", "D" * 100_000),
    "model": ("none", "../landscapes", "/etc/passwd", None, 3, ["landscapes"], "a\0b", "x" * 100_000),
    "prompt": (None, 3, ["a"], {"a": 1}, "x" * 10_000_000, "<lora:../../x:1>", "<lora:/etc/passwd:1>"),
    "task": ("fly", None, 3, [], "Text-To-Image" * 100),
    "image": (None, 3, "x", {"path": "/etc/passwd"}, uri(b"GIF89a"), uri(b""), "data:image/png;base64,!!"),
}


@pytest.mark.parametrize("field", WRONG)
def test_f01_f09_a_wrong_value_is_a_sentence_that_names_its_field(guest: Guest, field: str) -> None:
    asking = guest(1)
    for value in WRONG[field]:
        request = {**SMALL, **({"task": "image-to-image"} if field == "image" else {}), field: value}
        if field == "image" and value is None:
            request.pop("image")
        began = time.monotonic()
        answer = asking.call(request)
        assert time.monotonic() - began < 10
        if answer.kind == "complete":
            assert field in ("prompt", "guidance_scale", "seed", "width", "steps"), (field, str(value)[:80])
            continue
        assert answer.kind in ("error", "413", "422", "400"), (field, str(value)[:80], answer)
        assert "Traceback" not in answer.text and answer.data != {"error": None}


def test_f08_numbers_that_json_does_not_know(guest: Guest) -> None:
    asking = guest(2)
    for text in ("NaN", "Infinity", "-Infinity", "1e999", "9" * 5000):
        body = json.dumps({"data": [SMALL]}).replace('"steps": 3', f'"guidance_scale": {text}, "steps": 3')
        answer = asking.web.post(
            "/gradio_api/call/generate", content=body, headers={"content-type": "application/json"}
        )
        if answer.status_code == 200:
            assert asking.end(answer.json()["event_id"]).kind == "error", text
        else:
            assert answer.status_code in (400, 422)


def test_f10_bodies_that_are_no_call(guest: Guest) -> None:
    asking = guest(3)
    headers = {"content-type": "application/json"}
    deep = b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    for body in (
        b"",
        b"{",
        b"[]",
        b"3",
        b"\xff",
        b"null",
        deep,
        b'{"data": {}}',
        b'{"data": []}',
        b'{"data": [1, 2, 3]}',
    ):
        for path in (
            "call/generate",
            "queue/join",
            "run/predict",
            "api/generate",
            "cancel",
            "component_server",
        ):
            answer = asking.web.post(f"/gradio_api/{path}", content=body, headers=headers)
            assert 400 <= answer.status_code < 500, (path, body[:20], answer.status_code, answer.text[:100])
            assert answer.headers["content-security-policy"]
    for index in (-1, 10**9, None, "0", True, [0], 2.5):
        body = {"data": [], "fn_index": index, "session_hash": "mine"}  # type: ignore[assignment]
        assert 400 <= asking.post("queue/join", body).status_code < 500
    assert asking.post("call/generate", {"data": [SMALL] * 1000}).status_code == 422
    assert asking.web.post("/gradio_api/call/v2/generate", json={}).status_code < 500


def test_f11_private_functions_are_checked_as_programs_call_them(guest: Guest) -> None:
    """Every function of the page, with as many values as it takes and nonsense in them."""
    asking, chance = guest(4), random.Random(1)
    config = asking.web.get("/config").json()
    nonsense = [None, True, -1, 2**70, "x", [], {}, {"path": "/etc/passwd"}, "../..", [None] * 3]
    called = 0
    for function in config["dependencies"]:
        if any(event == "attach" for _, event in function["targets"]) or function["api_name"] == "generate":
            continue  # the page's long-lived event
        data = [chance.choice(nonsense) for _ in function["inputs"]]
        body = {
            "data": data,
            "fn_index": function["id"],
            "session_hash": "a page of guest 4",
            "event_data": chance.choice(nonsense),
        }
        if function["queue"]:
            continue
        answer = asking.post("run/predict", body)
        called += 1
        assert answer.status_code in (200, 422, 500), answer.text
        assert "Traceback" not in answer.text and "/work/" not in answer.text
    print(f"{called} functions")
    assert called > 20


def test_f12_pairs_of_edges(guest: Guest) -> None:
    """Two fields at their edges at once, through the reader of requests that all ways in share."""
    from ldm_core.errors import AtelierError
    from ldm_core.request import parse_request, to_json

    tried = 0
    for (one, first), (other, second) in itertools.combinations(WRONG.items(), 2):
        for a, b in itertools.product(first, second):
            tried += 1
            try:
                made = parse_request({**SMALL, one: a, other: b})
            except AtelierError as error:
                assert str(error).endswith((".", "?")) and len(str(error)) < 1000
            else:
                assert to_json(made)
    print(f"{tried} pairs")
    assert tried >= 2000


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "   ",
        "\0\x01\x1b[31m",
        "\U0001f305 \u202ehidden\u202c",
        "a\u0301" * 1000,
        "[a:b:0.5]" * 200,
        "(" * 5000,
        "{a|b}" * 30,
        "snow\\" * 1000,
        "<script>alert(1)</script>",
        "../../../etc/passwd",
        "CON",
        "x" * 300,
        "a AND b " * 40,
    ],
)
def test_e01_e13_prompts_of_every_kind(guest: Guest, prompt: str) -> None:
    answer = guest(5).call({**SMALL, "prompt": prompt})
    if answer.kind == "complete":
        made = answer.data[0]  # type: ignore[index]
        name = made["images"][0]["orig_name"]
        assert "/" not in name and len(name.encode()) < 200 and made["saved"] == [True]
    else:
        assert answer.kind == "error" and "Traceback" not in answer.text


def test_e03_lone_surrogates(guest: Guest) -> None:
    asking = guest(6)
    body = json.dumps({"data": [SMALL]}).replace('"snow"', '"snow \\ud800"').encode()
    answer = asking.web.post(
        "/gradio_api/call/generate", content=body, headers={"content-type": "application/json"}
    )
    if answer.status_code == 200:
        assert asking.end(answer.json()["event_id"]).kind in ("complete", "error")
    else:
        assert answer.status_code == 400


def test_d05_pictures_cut_at_every_percent(guest: Guest) -> None:
    asking, whole = guest(7), png()
    for percent in range(0, 100, 4):
        request = {**SMALL, "task": "image-to-image", "image": uri(whole[: len(whole) * percent // 100])}
        answer = asking.call(request)
        assert answer.kind == "error" and "image" in answer.text, percent


def test_d12_files_that_are_no_picture_of_ours(guest: Guest) -> None:
    asking = guest(8)
    for data in (
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"%PDF-1.4",
        b"8BPS" + bytes(60),
        b"SIMPLE  =",
        b"DDS " + bytes(124),
        b"\x7fELF" + bytes(60),
        b"<svg/>",
        bytes(1000),
    ):
        answer = asking.call({**SMALL, "task": "image-to-image", "image": uri(data)})
        assert answer.kind == "error" and answer.data != {"error": None}
        (path,) = asking.upload("a.png", data).json()
        answer = asking.call({**SMALL, "task": "image-to-image", "image": {"path": path}})
        assert answer.kind == "error" and answer.data != {"error": None}


def test_d19_d21_masks_of_every_size_and_none(guest: Guest) -> None:
    asking, image = guest(9), uri(png())
    fill = {**SMALL, "task": "inpaint", "image": image}
    for mask in (png(32, 32, "L"), png(200, 50, "L"), png(64, 64, "RGBA"), png(64, 64, "LA")):
        assert asking.call({**fill, "mask": uri(mask)}).kind in ("complete", "error")
    for request in (fill, {**SMALL, "task": "inpaint", "mask": uri(png(64, 64, "L"))}):
        answer = asking.call(request)
        assert answer.kind == "error" and ("mask" in answer.text or "image" in answer.text)
