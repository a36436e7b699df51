"""Wildcards and dynamic prompts: what a template becomes, that it repeats, and that nothing takes long."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.prompts.dynamic import TemplateError, escaped, expand, no_wildcards
from app.prompts.wildcards import Wildcards

PIECES = [
    "{",
    "}",
    "|",
    "$",
    "$$",
    "${",
    "_",
    "__",
    "#",
    "\\",
    "2$$",
    "0.5::",
    " ",
    "\n",
    "a",
    "b",
    "x=",
    "é",
]
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


def outcomes(template: str, wildcards: Wildcards | None = None, tries: int = 400) -> Counter[str]:
    lookup = wildcards.lines if wildcards else no_wildcards
    return Counter(expand(template, seed, "prompt", lookup) for seed in range(tries))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "colours.txt": "# of all sorts\nred\n\n  blue \n",
        "colours-cold.txt": "\ufeffgreen\nteal\n",
        "people/jobs.txt": "baker\n__colours__ smith\n",
        "weighted.txt": "9::often\n1::seldom\n",
        "coat.txt": "a ${colour} coat\n",
        "loop.txt": "__loop__\n",
        "empty.txt": "# nothing\n",
        "tree.yaml": "coats:\n  winter: [parka, anorak]\n  price: 5\ntop:\n- one\n- 2\n",
        "people/more.json": '["nurse", "{pilot|sailor}"]',
        "broken.yaml": "a: [b",
    }
    for name, text in files.items():
        path = tmp_path / "wildcards" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "wildcards" / "old.txt").write_bytes("caf\xe9\n".encode("cp1252"))
    return tmp_path / "wildcards"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("a lake", {"a lake"}),
        ("{a|b}", {"a", "b"}),
        ("{ a | b }, c", {"a, c", "b, c"}),
        ("{a|{b|c} d}", {"a", "b d", "c d"}),
        ("{a|}b", {"ab", "b"}),
        ("{2$$a|b|c}", {"a, b", "a, c", "b, a", "b, c", "c, a", "c, b"}),
        ("{2-3$$ and $$a|b}", {"a and b", "b and a"}),
        ("{1-2$$+$$a|b}", {"a", "b", "a+b", "b+a"}),
        ("{-2$$a|b}", {"a", "b", "a, b", "b, a"}),
        ("{9$$a|b}", {"a, b", "b, a"}),
        ("{0::a|b}", {"b"}),
        ("{lonely}", {"lonely"}),
        (r"\{a\|b\} \_\_c__ \# d", {"{a|b} __c__ # d"}),
        (r"\(a:1.2\) {x}", {r"\(a:1.2\) x"}),
        ("{a|b", {"{a|b"}),
        ("a} b|c", {"a} b|c"}),
        ("# of mine\na {b} # and this\n c", {"a b \n c"}),
        ("C#, #ff0000 {b}", {"C#, #ff0000 b"}),
        ("${x=!{a|b}} ${x}${x}", {"aa", "bb"}),
        ("${x={a|b}}${x}${x}", {"aa", "ab", "ba", "bb"}),
        ("${y:{c|d}}", {"c", "d"}),
        ("<lora:x:0.8> [a|b] (c:1.2) {d}", {"<lora:x:0.8> [a|b] (c:1.2) d"}),
    ],
)
def test_grammar(template: str, expected: set[str]) -> None:
    assert set(outcomes(template)) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("__colours__", {"red", "blue"}),
        ("__Colours*__", {"red", "blue", "green", "teal"}),
        ("__people/jobs__", {"baker", "red smith", "blue smith"}),
        ("__**/jobs__", {"baker", "red smith", "blue smith"}),
        ("__*/more__", {"nurse", "pilot", "sailor"}),
        ("__coats/winter__", {"parka", "anorak"}),
        ("__tree/coats/winter__", {"parka", "anorak"}),
        ("__top__", {"one", "2"}),
        ("__coat(colour=red)__", {"a red coat"}),
        ("{2$$__colours__}", {"red, blue", "blue, red"}),
        ("__old__", {"café"}),
    ],
)
def test_wildcards(template: str, expected: set[str], folder: Path) -> None:
    assert set(outcomes(template, Wildcards(folder))) == expected


def test_weights_count(folder: Path) -> None:
    assert outcomes("{0.5::a|1.5::b}", tries=2000)["b"] == pytest.approx(1500, abs=90)
    assert outcomes("__weighted__", Wildcards(folder), 2000)["often"] == pytest.approx(1800, abs=60)


def test_a_seed_repeats_and_the_two_prompts_draw_apart() -> None:
    """These very draws are what saved pictures rely on."""
    template = "{a|b|c|d|e} {2$$f|g|h|i}"
    assert [expand(template, seed, "prompt", no_wildcards) for seed in (7, 7, 8)] == SEVEN
    both = [[expand("{a|b}", s, field, no_wildcards) for s in range(64)] for field in ("prompt", "negative")]
    assert both[0] != both[1]


SEVEN = ["d h, f", "d h, f", "b i, f"]


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("__nothing__", "no wildcard __nothing__"),
        ("__colour__", "Is it __colours__?"),
        ("__empty__", "__empty__ is empty"),
        ("__loop__", "deep"),
        ("${z}", "z"),
        ("{0::a|0::b}", "every weight is 0"),
        ("{" * 60 + "a" + "}" * 60, "nests"),
        ("${a=" + "x" * 100 + "}${b=${a}${a}${a}${a}}${c=${b}${b}${b}${b}}" + "${c}" * 20, "longer|pieces"),
        ("__*a*b*c*d*e*__", "stars"),
    ],
)
def test_what_cannot_be_is_a_sentence(template: str, words: str, folder: Path) -> None:
    with pytest.raises(TemplateError, match=words):
        expand(template, 1, "prompt", Wildcards(folder).lines)


@given(st.text(max_size=80) | HOSTILE)
@settings(max_examples=1500, deadline=None)
def test_escaped_text_becomes_itself(text: str) -> None:
    template = escaped(text)
    assert expand(template, 3, "prompt", no_wildcards).strip() == text.strip()


@given(HOSTILE)
@settings(max_examples=1500, deadline=None)
def test_anything_is_a_prompt_or_a_sentence(template: str) -> None:
    try:
        once = expand(template, 5, "prompt", no_wildcards)
    except TemplateError as error:
        assert str(error).endswith(".")
    else:
        assert once == expand(template, 5, "prompt", no_wildcards)


@pytest.mark.parametrize(
    "piece",
    ["{", "}", "{}", "{a|", "|", "\\", "_", "__", "__a", "$", "${", "${a", "#", " # ", "{2$$", "{a|b}"],
)
def test_long_templates_take_no_time(piece: str) -> None:
    template = (piece * 20_000)[:20_000]
    began = time.perf_counter()
    with contextlib.suppress(TemplateError):
        expand(template, 1, "prompt", no_wildcards)
    assert time.perf_counter() - began < 1.0


def test_a_folder_that_changes_is_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.prompts.wildcards.AGE", 0.0)
    wildcards = Wildcards(folder)
    assert {"colours", "people/jobs", "coats/winter", "top"} <= set(wildcards.names())
    (folder / "new.txt").write_text("fresh\n")
    assert set(outcomes("__new__", wildcards, 3)) == {"fresh"}
    assert Wildcards(folder / "not there").names() == []
