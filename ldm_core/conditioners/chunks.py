"""Tokens in chunks of the length that a text encoder reads at once.  Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ldm_core.prompts import unreadable

if TYPE_CHECKING:
    from torch import Tensor

MAX_CHUNKS = 32  # of one prompt
BACKTRACK = 20  # tokens back to a comma behind which a full chunk is cut, as A1111 does by default


@dataclass(frozen=True, slots=True, eq=False)
class Token:
    """
    Attributes:
        ids: for each text encoder.
        fragment: number of the span that it is of.
        vectors: for each text encoder (d,), in the place of the token's own embedding.
    """

    ids: tuple[int, ...]
    weight: float = 1.0
    fragment: int = 0
    vectors: tuple[Tensor, ...] = ()


Group = tuple[Token, ...]  # stays in one chunk
Chunk = tuple[Token, ...]


def chunked(
    sections: Sequence[Sequence[Group]], room: int, *, comma: int | None = None, backtrack: int = 0
) -> list[Chunk]:
    """At least one chunk; each section begins one of its own.

    Args:
        room: tokens of a chunk, without those at its ends.
        comma: id of the token; where a chunk is full and one is up to `backtrack` tokens before, what is
            behind it goes to the next chunk.

    Raises:
        PromptError: there are too many, or a group that is too long.
    """
    chunks: list[Chunk] = []
    for i, groups in enumerate(sections):
        found = list(_section(groups, room, comma, backtrack))
        is_last = i == len(sections) - 1
        chunks += found if found or (is_last and chunks) else [()]
    if len(chunks) > MAX_CHUNKS:
        raise unreadable(f"it is {len(chunks)} chunks of {room} tokens long; {MAX_CHUNKS} are the most.")
    return chunks


def _section(groups: Sequence[Group], room: int, comma: int | None, backtrack: int) -> Iterator[Chunk]:
    chunk: list[Token] = []
    behind: int | None = None  # where what follows the last comma begins
    for group in groups:
        if len(group) > room:
            raise unreadable(f"an embedding in it has {len(group)} vectors; a chunk holds {room} tokens.")
        is_comma = len(group) == 1 and not group[0].vectors and group[0].ids[0] == comma
        if len(chunk) == room and not is_comma and behind is not None and room - behind < backtrack:
            yield tuple(chunk[:behind])
            chunk, behind = chunk[behind:], None
        if len(chunk) + len(group) > room:
            yield tuple(chunk)
            chunk, behind = [], None
        elif is_comma:
            behind = len(chunk) + 1
        chunk += group
    if chunk:
        yield tuple(chunk)
