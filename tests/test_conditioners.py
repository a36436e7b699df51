"""Prompts to token ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from ldm_core.conditioners import Tokenizer
from ldm_core.errors import ConfigError

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


@pytest.mark.parametrize("content", [None, "", "lake\nsunset\n"])
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "vocab.txt"
    if content is not None:
        path.write_text(content, "utf-8")
    with pytest.raises(ConfigError, match=r"vocab\.txt is no BERT vocabulary"):
        Tokenizer(path, 8)
