"""ComfyUI's syntax: (x) is 1.1 times what is around it, (x:1.3) is 1.3 whatever is around it.

\\( and \\) are brackets that are meant.  Source: github.com/comfyanonymous/ComfyUI, `comfy/sd1_clip.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ldm_core.prompts.phrase import Fixed, Part, Span, Text, check_depth, merged, weight_of

ROUND = 1.1
_ESCAPES = (("\\)", "\0"), ("\\(", "\1"))


def read(text: str) -> Fixed:
    """
    Raises:
        PromptError: brackets are nested too deeply, or a weight is too large.
    """
    for escape, stand_in in _ESCAPES:
        text = text.replace(escape, stand_in)
    spans = [Span(_unescaped(span.text), span.weight) for span in _spans(text, 1.0, 0)]
    return Fixed((Part(Text((merged(spans),), "comfyui")),))


def _spans(text: str, weight: float, depth: int) -> Iterator[Span]:
    check_depth(depth)
    for part, is_group in _groups(text):
        if not is_group:
            yield Span(part, weight)
            continue
        before, colon, number = part.rpartition(":")
        stated = weight_of(number) if colon and before else None
        if stated is None:
            yield from _spans(part, weight * ROUND, depth + 1)
        else:
            yield from _spans(before, stated, depth + 1)


def _groups(text: str) -> Iterator[tuple[str, bool]]:
    """What stands in outermost brackets, and what does not; one that is never closed is text."""
    begin, depth = 0, 0  # `begin`: of what was not yielded yet
    for i, character in enumerate(text):
        if character == "(":
            if depth == 0:
                yield text[begin:i], False
                begin = i
            depth += 1
        elif character == ")" and depth:
            depth -= 1
            if depth == 0:
                yield text[begin + 1 : i], True
                begin = i + 1
    yield text[begin:], False


def _unescaped(text: str) -> str:
    for escape, stand_in in _ESCAPES:
        text = text.replace(stand_in, escape[1])
    return text
