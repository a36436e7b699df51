"""InvokeAI's syntax, which is compel's.

    word+ word++ word-    weights 1.1, 1.21 and 0.9; so with (some words)+
    (some words)1.3       a weight; brackets within brackets multiply, and alone change nothing
    ("a", "b").blend(0.7, 0.3)    the weighted mean of what the texts are encoded to
    ("a", "b").and()              the encodings one after the other

Source: github.com/damian0815/compel, README and `prompt_parser.py`.
"""

from __future__ import annotations

import re

from ldm_core.prompts.phrase import (
    MAX_PARTS,
    Blend,
    Fixed,
    Joined,
    Part,
    Span,
    Text,
    check_depth,
    merged,
    unreadable,
    weight_of,
)

PLUS, MINUS = 1.1, 0.9
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_SEVERAL = re.compile(
    rf"\s*\(\s*({_QUOTED}(?:\s*,\s*{_QUOTED})*)\s*\)\.(blend|and)\(([^()]*)\)\s*", re.DOTALL
)
_QUOTED_TEXT = re.compile(_QUOTED, re.DOTALL)
_TOKEN = re.compile(r"\\.|\((?!\))|\)(?:(\d*\.?\d+)|(\++|-+))?|[^\s\\(),;]+|[\s\S]", re.DOTALL)
_WORD = re.compile(r"(.*?[^+-])(\++|-+)([.:!?]*)", re.DOTALL)
_NO_NORMALIZE = "no_normalize"


def read(text: str) -> Fixed:
    """
    Raises:
        PromptError: brackets are nested too deeply, a weight is too large, or the weights of a blend are
            none, or not as many as its texts.
    """
    match = _SEVERAL.fullmatch(text)
    if match is None:
        notes = (".swap( is read as text here.",) if ".swap(" in text else ()
        return Fixed((Part(_text(text)),), notes)
    texts = [_text(_unquoted(quoted)) for quoted in _QUOTED_TEXT.findall(match[1])]
    arguments = [part.strip() for part in match[3].split(",") if part.strip()]
    if len(texts) > MAX_PARTS:
        raise unreadable(f"it has {len(texts)} parts; {MAX_PARTS} are the most.")
    if match[2] == "and":
        # Their weights have no effect in compel.
        return Fixed((Part(Joined(tuple(texts))),))
    weights = [weight_of(argument) for argument in arguments if argument != _NO_NORMALIZE]
    found = [weight for weight in weights if weight is not None]
    if len(found) < len(weights) or len(found) not in (0, len(texts)):
        raise unreadable(f"blend needs a number for each of its {len(texts)} texts.")
    normalized = _NO_NORMALIZE not in arguments
    found = found or [1.0] * len(texts)
    if normalized and abs(sum(found)) < 1e-6:
        raise unreadable("the weights of its blend come to 0; change one, or add no_normalize.")
    return Fixed((Part(Blend(tuple(zip(texts, found, strict=True)), normalized)),))


def _unquoted(text: str) -> str:
    return text[1:-1].replace('\\"', '"')


def _text(text: str) -> Text:
    levels: list[list[Span]] = [[]]  # what stands in each open bracket

    def fold(weight: float) -> None:
        spans = levels.pop()
        levels[-1] += [Span(span.text, span.weight * weight) for span in spans]

    for match in _TOKEN.finditer(text):
        token, number, signs = match[0], match[1], match[2]
        if token == "(":
            levels.append([])
            check_depth(len(levels) - 1)
        elif token[0] == ")" and len(levels) > 1:
            stated = weight_of(number) if number else None
            fold(_power(signs or "") if stated is None else stated)
        elif token[0] == "\\" and len(token) > 1:
            levels[-1].append(Span(token[1:]))
        elif word := _WORD.fullmatch(token):
            levels[-1] += [Span(word[1], _power(word[2])), Span(word[3])]
        else:
            levels[-1].append(Span(token))
    while len(levels) > 1:  # never closed
        spans = levels.pop()
        levels[-1] += [Span("("), *spans]
    return Text((merged(levels[0]),), "invokeai")


def _power(signs: str) -> float:
    """Of many signs as of 100, which is beyond any weight that is taken."""
    return (PLUS if signs[:1] == "+" else MINUS) ** min(len(signs), 100)
