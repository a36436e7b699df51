"""CLIP's text transformers as an encoder of chunks: how each syntax cuts a text, and names embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ldm_core.conditioners.chunks import BACKTRACK, Chunk, Group, Token, chunked
from ldm_core.conditioners.clip_tokenizer import ClipTokenizer
from ldm_core.conditioners.embeddings import COMFYUI, INVOKEAI, Embedding, Embeddings
from ldm_core.conditioners.encoding import Row
from ldm_core.nn.clip import ClipText
from ldm_core.prompts import Span, Text
from ldm_core.spec import ClipTower

_WORD = 8  # tokens from which on ComfyUI lets a word go on in the next chunk


class ClipEncoder:
    """As `encoding.Encoder`.

    Args:
        module: None to cut texts alone.
        layer: as of `ClipText`.
    """

    def __init__(
        self,
        tokenizer: ClipTokenizer,
        towers: Sequence[ClipTower],
        module: ClipText | None = None,
        layer: int = 1,
        embeddings: Embeddings | None = None,
    ) -> None:
        self._tokenizer, self._towers, self._module, self._layer = tokenizer, towers, module, layer
        self._embeddings = embeddings
        self._named: list[tuple[list[int], str]] | None = None

    def chunks(self, text: Text) -> list[Chunk]:
        numbered = iter(range(sum(len(section) for section in text.sections)))
        sections = [
            [
                tuple(replace(token, weight=span.weight, fragment=number) for token in group)
                for span, number in zip(section, numbered)
                for group in self._groups(span, text)
            ]
            for section in text.sections
        ]
        backtrack = BACKTRACK if text.syntax in ("a1111", "plain") else 0
        return chunked(sections, self._tokenizer.room, comma=self._tokenizer.comma, backtrack=backtrack)

    def _groups(self, span: Span, text: Text) -> Iterator[Group]:
        """The tokens of a span, with what stays together."""
        match text.syntax:
            case "comfyui":
                for word in span.text.replace("\n", " ").split(" "):
                    yield from self._comfyui_word(word)
            case "invokeai":
                for i, piece in enumerate(INVOKEAI.split(span.text)):
                    found = self._find(piece) if i % 2 else None
                    words = piece if i % 2 == 0 else f"<{piece}>"
                    if found is None:
                        yield from self._single(words)
                    else:
                        yield from ((token,) for token in _tokens(found))
            case "a1111":
                yield from self._with_names(span.text)
            case "plain":
                yield from self._single(span.text)

    def _single(self, text: str) -> Iterator[Group]:
        return ((Token(ids),) for ids in self._tokenizer.pieces(text))

    def _comfyui_word(self, word: str) -> Iterator[Group]:
        group = tuple(Token(ids) for ids in self._tokenizer.pieces(word))
        if word.startswith(COMFYUI):
            name = word.removeprefix(COMFYUI)
            found = self._find(name) or self._find(name.removesuffix(","))
            if found is None:
                return
            group = _tokens(found)
            if name.endswith(",") and name != found.name:
                yield group
                group = tuple(Token(ids) for ids in self._tokenizer.pieces(","))
        if len(group) < _WORD:
            if group:
                yield group
        else:
            yield from ((token,) for token in group)

    def _with_names(self, text: str) -> Iterator[Group]:
        """As A1111: wherever the tokens of an embedding's name stand, the longest first."""
        pieces = self._tokenizer.pieces(text)
        ids, at = [piece[0] for piece in pieces], 0
        while at < len(pieces):
            found = next(
                (
                    (embedding, len(of_name))
                    for of_name, name in self._names()
                    if ids[at : at + len(of_name)] == of_name and (embedding := self._find(name))
                ),
                None,
            )
            if found is None:
                yield (Token(pieces[at]),)
                at += 1
            else:
                yield _tokens(found[0])
                at += found[1]

    def _names(self) -> list[tuple[list[int], str]]:
        if self._named is None:
            names = self._embeddings.names() if self._embeddings else ()
            found = [([piece[0] for piece in self._tokenizer.pieces(name)], name) for name in names]
            self._named = sorted((row for row in found if row[0]), key=lambda row: -len(row[0]))
        return self._named

    def _find(self, name: str) -> Embedding | None:
        return None if self._embeddings is None else self._embeddings.find(name, self._towers)

    def weights(self, chunk: Chunk) -> list[float]:
        behind = self._tokenizer.room + 1 - len(chunk)
        return [1.0, *(token.weight for token in chunk), *[1.0] * behind]

    def encode(self, rows: Sequence[Row]) -> tuple[list[Tensor], Tensor]:
        assert self._module is not None
        device = next(self._module.parameters()).device
        ids = [self._tokenizer.framed([token.ids for token in row.chunk]) for row in rows]
        vectors: list[dict[tuple[int, int], Tensor]] = [{} for _ in self._towers]
        for i, row in enumerate(rows):
            for position, token in enumerate(row.chunk, 1):
                for of_tower, vector in zip(vectors, token.vectors):
                    of_tower[i, position] = vector
        mask = None
        if any(row.without is not None for row in rows):
            seen = [
                [1, *(token.fragment != row.without or token.weight == 1 for token in row.chunk)]
                for row in rows
            ]
            length = self._tokenizer.room + 2
            mask = torch.tensor([[*row, *[1] * (length - len(row))] for row in seen], device=device)
        return self._module(torch.tensor(ids, device=device), self._layer, vectors, mask)


def _tokens(embedding: Embedding) -> Group:
    """Of each vector one; what their ids would be does not count."""
    rows = zip(*embedding.vectors)
    return tuple(Token(tuple(0 for _ in row), vectors=tuple(row)) for row in rows)
