"""The known words that an unknown one is another form of, or looks like."""

from __future__ import annotations

import difflib
from collections.abc import Container, Iterable, Iterator

# What the end of a word may be read as.  The longer ones first.
_ENDINGS = (
    ("ies", "y"), ("ves", "f"), ("iest", "y"), ("ier", "y"), ("ily", "y"), ("ied", "y"),
    ("ing", ""), ("ing", "e"), ("est", ""), ("est", "e"), ("ish", ""), ("es", ""), ("ed", ""), ("ed", "e"),
    ("er", ""), ("er", "e"), ("ly", ""), ("s", ""), ("y", ""),
)  # fmt: skip
_SPELLINGS = (("our", "or"), ("grey", "gray"), ("tre", "ter"), ("ise", "ize"), ("ll", "l"), ("sc", "sk"))
_SHORTEST = 3  # letters of a word without its ending, or of a part of a compound


def known_form(word: str, known: Container[str]) -> str | None:
    """A word, in lower case, as known ones: "firs" -> "fir", "lakeview" -> "lake view"; None: it is none."""
    form = _inflected(word, known)
    if form is None:
        for at in range(len(word) - _SHORTEST, _SHORTEST - 1, -1):
            if word[:at] in known and (rest := _inflected(word[at:], known)):
                return f"{word[:at]} {rest}"
    return form


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is spelt most like it, where one is."""
    found = difflib.get_close_matches(word.lower(), [w for w in known if len(w) > _SHORTEST], 1, cutoff=0.75)
    return found[0] if found else None


def _inflected(word: str, known: Container[str]) -> str | None:
    return next((form for form in _forms(word) if form in known), None)


def _forms(word: str) -> Iterator[str]:
    """The word itself, its other spellings, its plural, and each of these without its ending."""
    spellings = dict.fromkeys(
        [word, *(word.replace(a, b) for pair in _SPELLINGS for a, b in (pair, pair[::-1]) if a in word)]
    )
    yield from spellings
    for spelling in spellings:
        yield spelling + "s"
    for spelling in spellings:
        for ending, instead in _ENDINGS:
            stem = spelling.removesuffix(ending)
            if stem != spelling and len(stem) >= _SHORTEST:
                yield stem + instead
                if stem[-1] == stem[-2]:
                    yield stem[:-1]  # "foggier", "stunning"
