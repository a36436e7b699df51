"""The syntax of prompts, beside what A1111, ComfyUI and compel read."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldm_core.errors import PromptError
from ldm_core.prompts import SYNTAXES, Blend, Joined, Syntax, Text, read_prompt, texts_of

R, S = 1.1, 1 / 1.1
Spans = list[tuple[str, float]]

# Text -> the weights that A1111 gives, written from its rules: (x) times 1.1, [x] by 1.1, (x:n) times n,
# brackets multiply, unclosed ones count to the end, a lone ) or : is text, equal neighbours are one.
WEIGHTS: list[tuple[str, Spans]] = [
    ("", []),
    ("normal text", [("normal text", 1.0)]),
    ("(important)", [("important", R)]),
    ("[unimportant]", [("unimportant", S)]),
    ("((a))", [("a", R * R)]),
    ("(((a)))", [("a", R * R * R)]),
    ("[[a]]", [("a", S * S)]),
    ("([a])", [("a", 1.0)]),
    ("[(a)]", [("a", 1.0)]),
    ("(a:1.3)", [("a", 1.3)]),
    ("(a:0.5)", [("a", 0.5)]),
    ("(a:2)", [("a", 2.0)]),
    ("(a:.5)", [("a", 0.5)]),
    ("(a:1.)", [("a", 1.0)]),
    ("(a:+1.2)", [("a", 1.2)]),
    ("(a:-1)", [("a", -1.0)]),
    ("(a:0)", [("a", 0.0)]),
    ("(a: 1.2)", [("a", 1.2)]),
    ("(a:1.2 )", [("a", 1.2)]),
    ("(a :1.2)", [("a ", 1.2)]),
    ("((a:1.2))", [("a", 1.2 * R)]),
    ("((a:1.2):1.5)", [("a", 1.2 * 1.5)]),
    ("[(a:1.2)]", [("a", 1.2 * S)]),
    ("(unbalanced", [("unbalanced", R)]),
    ("[unbalanced", [("unbalanced", S)]),
    ("((a", [("a", R * R)]),
    ("a (b", [("a ", 1.0), ("b", R)]),
    ("unnecessary)", [("unnecessary)", 1.0)]),
    ("unnecessary]", [("unnecessary]", 1.0)]),
    ("a ) b", [("a ) b", 1.0)]),
    ("(a))", [("a", R), (")", 1.0)]),
    ("a: b", [("a: b", 1.0)]),
    ("16:9", [("16:9", 1.0)]),
    ("a:1.2)", [("a:1.2)", 1.0)]),
    ("(a:b)", [("a:b", R)]),
    ("(a:1.2.3)", [("a:1.2.3)", R)]),
    ("(a:1.2:1.5)", [("a:1.2", 1.5)]),
    ("(a:b:1.5)", [("a:b", 1.5)]),
    ("[a:b]", [("a:b", S)]),
    ("(:1.2)", []),
    ("()", []),
    ("[]", []),
    ("(a)(b)", [("ab", R)]),
    ("(a) (b)", [("a", R), (" ", 1.0), ("b", R)]),
    ("(a)b(c)", [("a", R), ("b", 1.0), ("c", R)]),
    ("(a (b) c)", [("a ", R), ("b", R * R), (" c", R)]),
    ("(a [b] c)", [("a ", R), ("b", 1.0), (" c", R)]),
    ("(a (b:1.5) c:2)", [("a ", 2.0), ("b", 3.0), (" c", 2.0)]),
    ("(a [b) c]", [("a ", R), ("b", 1.0), (" c", S)]),
    (r"\(literal\]", [("(literal]", 1.0)]),
    (r"\(a\)", [("(a)", 1.0)]),
    (r"\[a\]", [("[a]", 1.0)]),
    (r"(\(a\):1.2)", [("(a)", 1.2)]),
    (r"(a\))", [("a)", R)]),
    (r"a\\b", [("a\\b", 1.0)]),
    (r"\\(a)", [("\\", 1.0), ("a", R)]),
    (r"(a\\)", [("a\\", R)]),
    ("a, (b), c", [("a, ", 1.0), ("b", R), (", c", 1.0)]),
    ("(a, b:1.1), c", [("a, b", 1.1), (", c", 1.0)]),
    ("a\n(b)", [("a\n", 1.0), ("b", R)]),
    ("(ünï 日本:1.4)", [("ünï 日本", 1.4)]),
    (":-) (", [(":-) ", 1.0)]),
    ("(a)[b](c:1)", [("a", R), ("b", S), ("c", 1.0)]),
    ("(a)(b:1.1)", [("ab", R)]),
    ("a <lora:x:0.8> (b)", [("a  ", 1.0), ("b", R)]),
    (
        "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
        [
            ("a ", 1.0), ("house", 1.3 * R * R), (" ", R), ("on", 1.0), (" a ", R), ("hill", 0.5 * R),
            (", sun, ", R), ("sky", R**4), (".", R),
        ],
    ),
]  # fmt: skip


def spans_of(text: Text) -> Spans:
    return [(span.text, span.weight) for section in text.sections for span in section]


def read(text: str, syntax: Syntax, step: int = 0, num_steps: int = 10, **pass_: int) -> Text:
    (part,) = read_prompt(text, syntax).at(step, num_steps, **pass_)
    assert isinstance(part.phrase, Text)
    return part.phrase


@pytest.mark.parametrize(("text", "expected"), WEIGHTS)
def test_a1111_weights(text: str, expected: Spans) -> None:
    found = spans_of(read(text, "a1111"))
    assert [one for one, _ in found] == [one for one, _ in expected]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in expected])


def test_the_table_is_large_enough() -> None:
    assert len(WEIGHTS) >= 60


def test_break_begins_another_section() -> None:
    assert [[span.text for span in row] for row in read("a BREAK (b:1.2) BREAK c", "a1111").sections] == [
        ["a"], ["b"], ["c"],
    ]  # fmt: skip
    assert len(read("breakfast BREAKS a break", "a1111").sections) == 1
    assert [[span.weight for span in row] for row in read("(a BREAK b)", "a1111").sections] == [[R], [R]]


def test_and_composes_with_weights() -> None:
    parts = read_prompt("a cat :1.2 AND a (dog) AND x:-0.5 AND 10:30", "a1111").at(0, 1)
    texts = ["".join(one for one, _ in spans_of(part.phrase)) for part in parts]  # type: ignore[arg-type]
    assert [text.strip() for text in texts] == ["a cat", "a dog", "x", "10"]
    assert [part.weight for part in parts] == [1.2, 1.0, -0.5, 30.0]
    assert len(read_prompt("SAND AND", "a1111").at(0, 1)) == 2
    # Without AND a number behind a colon is text; in the negative prompt AND is a word.
    assert spans_of(read("a picture in 16:9", "a1111")) == [("a picture in 16:9", 1.0)]
    assert len(read_prompt("a AND b", "a1111", negative=True).at(0, 1)) == 1


# Text -> what is said at each of ten steps; the same letter for steps on end.
SCHEDULES = [
    ("[a:b:0.5]", "aaaaabbbbb"),
    ("[a:b:3]", "aaabbbbbbb"),
    ("[b:0.3]", "   bbbbbbb"),
    ("[a::4]", "aaaa      "),
    ("[a:b:0.0]", "bbbbbbbbbb"),
    ("[a:b:1.0]", "aaaaaaaaaa"),
    ("[a:b:99]", "aaaaaaaaaa"),
    ("[a:b:-1]", "bbbbbbbbbb"),
    ("[a: b : 0.25 ]", "aabbbbbbbb"),
    ("[a|b]", "ababababab"),
    ("[a|b|c]", "abcabcabca"),
    ("[a|]", "a a a a a "),
    ("[[a|b]:c:4]", "ababcccccc"),
    ("[a:[b:c:8]:4]", "aaaabbbbcc"),
    ("[[a::8]:b:2]", "aabbbbbbbb"),
    ("[a|[b:c:5]]", "ababacacac"),
    ("[(a:1.3):b:5]", "aaaaabbbbb"),
    ("[a:(b:1.3):5]", "aaaaabbbbb"),
]


@pytest.mark.parametrize(("text", "expected"), SCHEDULES)
def test_what_changes_with_the_step(text: str, expected: str) -> None:
    said = ["".join(one for one, _ in spans_of(read(text, "a1111", step))) for step in range(10)]
    assert "".join(one.strip() or " " for one in said) == expected
    assert not read_prompt(text, "a1111").is_fixed


def test_a_second_pass_goes_on_counting() -> None:
    def at(text: str, step: int) -> str:
        return spans_of(read(text, "a1111", step, 8, earlier=20))[0][0]

    assert [at("[a:b:24]", step) for step in (3, 4)] == ["a", "b"]
    assert [at("[a:b:1.5]", step) for step in (3, 4)] == ["a", "b"]
    assert [at("[a:b:0.5]", step) for step in (0, 7)] == ["b", "b"]
    assert at("[a|b]", 1) == "b"


@pytest.mark.parametrize("text", ["a | [b:c:0.5]", "(a|b) [c:d:0.5]", "[a:b|c] [c:d:0.5]", "x\\ [a|b] \\"])
def test_what_is_no_schedule_counts_as_it_is(text: str) -> None:
    prompt = read_prompt(text, "a1111")
    assert prompt.is_fixed == (text[-1] == "\\" or "|" in text)
    assert prompt.notes or text[0] == "x"


@pytest.mark.parametrize(
    "text", ["[a]", "[a:b]", "[a:b:c]", "[a:b:c:0.5]", "[a(b:c:0.5]", "a: b", r"\[a:b:0.5\]"]
)
def test_brackets_that_are_no_schedule_are_weights_or_text(text: str) -> None:
    prompt = read_prompt(text, "a1111")
    assert prompt.is_fixed and not prompt.notes


COMFYUI: list[tuple[str, Spans]] = [
    ("a b", [("a b", 1.0)]),
    ("(a)", [("a", R)]),
    ("((a))", [("a", R * R)]),
    ("(a:1.3)", [("a", 1.3)]),
    ("((a:1.3))", [("a", 1.3)]),
    ("((a) b:1.5)", [("a", 1.5 * R), (" b", 1.5)]),
    ("((a:1.2) b:1.5)", [("a", 1.2), (" b", 1.5)]),
    ("[a] BREAK [b:c:0.5] AND d", [("[a] BREAK [b:c:0.5] AND d", 1.0)]),
    (r"\(a\) (b\):1.2)", [("(a) ", 1.0), ("b)", 1.2)]),
    ("(a", [("(a", 1.0)]),
    ("a) (b)", [("a) ", 1.0), ("b", R)]),
    ("(a:b)", [("a:b", R)]),
]


@pytest.mark.parametrize(("text", "expected"), COMFYUI)
def test_comfyui_weights(text: str, expected: Spans) -> None:
    found = spans_of(read(text, "comfyui"))
    assert [one for one, _ in found] == [one for one, _ in expected]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in expected])


INVOKEAI: list[tuple[str, Spans]] = [
    ("a b", [("a b", 1.0)]),
    ("a+", [("a", R)]),
    ("a++ b", [("a", R * R), (" b", 1.0)]),
    ("a--", [("a", 0.81)]),
    ("(a b)+", [("a b", R)]),
    ("(a b)1.3 c", [("a b", 1.3), (" c", 1.0)]),
    ("((a)+ b)1.5", [("a", 1.5 * R), (" b", 1.5)]),
    ("(a b) c", [("a b c", 1.0)]),
    ("well-lit - sky", [("well-lit - sky", 1.0)]),
    ("sky++, sea", [("sky", R * R), (", sea", 1.0)]),
    (r"\(a\)+", [("(a)+", 1.0)]),
    ("(a", [("(a", 1.0)]),
]


@pytest.mark.parametrize(("text", "expected"), INVOKEAI)
def test_invokeai_weights(text: str, expected: Spans) -> None:
    found = spans_of(read(text, "invokeai"))
    assert [one for one, _ in found] == [one for one, _ in expected]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in expected])


def test_invokeai_blends_and_joins() -> None:
    (blend,) = read_prompt('("a cat", "a dog++").blend(0.7, 0.3)', "invokeai").at(0, 1)
    assert isinstance(blend.phrase, Blend)
    assert [weight for _, weight in blend.phrase.parts] == [0.7, 0.3] and blend.phrase.normalized
    (joined,) = read_prompt('("a", "b, \\"c\\"").and()', "invokeai").at(0, 1)
    assert isinstance(joined.phrase, Joined)
    assert [spans_of(text) for text in joined.phrase.parts] == [[("a", 1.0)], [('b, "c"', 1.0)]]
    for wrong in ('("a", "b").blend(1)', '("a", "b").blend(x, y)', '("a", "b").blend(1, -1)'):
        with pytest.raises(PromptError, match="blend"):
            read_prompt(wrong, "invokeai")


def test_plain_texts_stay_as_they_are() -> None:
    text = "(a:1.2) [b|c] AND BREAK \\( ++"
    assert spans_of(read(text, "plain")) == [(text, 1.0)]


HOSTILE = [
    "(",
    "[",
    ")",
    ":",
    "|",
    " ",
    "\\",
    "[a:",
    "a(b)",
    "[a|b]",
    "(a:1.1)",
    "++",
    '"',
    '("a",',
    "BREAK ",
]
HOSTILE += ["AND ", "<a:", "a:1", "[a:b:1]", "((((a))))", "\n", "0", ".", "(a BREAK b)", "[[a|b]|c]"]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_hostile_prompts_take_no_time(syntax: Syntax) -> None:
    """All of 20,000 characters, the longest that a request may have."""
    for piece in HOSTILE:
        for before in ("", "(a" * 30, '("'):
            text = (before + piece * 20_000)[:20_000]
            began = time.thread_time()
            try:
                read_prompt(text, syntax).at(3, 10)
            except PromptError as error:
                assert str(error).startswith("The prompt cannot be read: ") and len(str(error)) < 300
            assert time.thread_time() - began < 2, (piece, before)


def test_what_is_beyond_all_measure_is_refused_in_a_sentence() -> None:
    for text, words in (("(" * 50, "brackets"), ("(a:1000)", "1000"), ("a AND " * 30, "parts")):
        with pytest.raises(PromptError, match=words):
            read_prompt(text, "a1111")
    with pytest.raises(PromptError, match="negative prompt"):
        read_prompt("(" * 50, "a1111", negative=True)


TEXTS = st.text(st.sampled_from('abc ()[]:|\\.0123+-"<>,') | st.characters(), max_size=60)


@given(TEXTS, st.sampled_from(sorted(SYNTAXES)), st.integers(0, 9))
def test_any_text_is_read_or_refused(text: str, syntax: Syntax, step: int) -> None:
    try:
        parts = read_prompt(text, syntax).at(step, 10)
    except PromptError:
        return
    for part in parts:
        for one in texts_of(part.phrase):
            assert all(abs(weight) <= 100 for _, weight in spans_of(one))


@given(st.text(st.sampled_from("abc ,."), max_size=40))
def test_without_syntax_all_read_the_same(text: str) -> None:
    for syntax in SYNTAXES:
        assert "".join(one for one, _ in spans_of(read(text, syntax))) == text
