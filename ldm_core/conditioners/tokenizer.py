"""From a prompt to token ids."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import BertWordPieceTokenizer
from torch import Tensor

from ldm_core.conditioners.word_forms import known_form, nearest
from ldm_core.errors import ConfigError

_POSSESSIVE = re.compile(r"['’]s\b", re.IGNORECASE)
NAMED_UNREAD = 20  # words behind the last that is read
NAMED = 6  # unknown words that are told at most
MAX_VOCABULARY = 16_000_000  # bytes; BERT's has 232,000


class Tokenizer:
    """BERT's WordPiece tokenizer, lower case, as the paper's text-to-image models use it.

    Where the vocabulary has no pieces of words, as those of our own training, a word that it lacks is read in
    another form that it has ("skiffs", "snowcapped"), and punctuation that it lacks and "'s" are passed over.

    Args:
        vocabulary: a `vocab.txt`, one token a line, the line's number its id; or a `tokenizer.json`.
        max_length: prompts are padded and cut to this many tokens.

    Raises:
        ConfigError: the vocabulary cannot be read or lacks BERT's special tokens.
    """

    def __init__(self, vocabulary: Path, max_length: int) -> None:
        tokens = _tokens(vocabulary)
        missing = [token for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]") if token not in tokens]
        if missing:
            raise ConfigError(
                f"{vocabulary.name} is no BERT vocabulary: it lacks {', '.join(missing)}. "
                "Put the vocab.txt that the model was trained with beside it."
            )
        self._vocabulary = {token: index for index, token in enumerate(tokens)}
        self._tokenizer = BertWordPieceTokenizer(dict(self._vocabulary), lowercase=True)
        self._whole = BertWordPieceTokenizer(dict(self._vocabulary), lowercase=True)  # never cuts
        self._whole_words = not any(token.startswith("##") for token in tokens)
        self.max_length = max_length
        self._tokenizer.enable_truncation(max_length)
        self._tokenizer.enable_padding(length=max_length, pad_id=self._vocabulary["[PAD]"])

    @property
    def vocab_size(self) -> int:
        return len(self._vocabulary)

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """Prompts -> (b, max_length) int64."""
        encodings = self._tokenizer.encode_batch(list(prompts))
        if self._whole_words:
            encodings = [
                self._tokenizer.encode(self._reread(prompt)) if "[UNK]" in encoding.tokens else encoding
                for prompt, encoding in zip(prompts, encodings, strict=True)
            ]
        return torch.tensor([encoding.ids for encoding in encodings], dtype=torch.int64)

    def pieces(self, text: str) -> list[int]:
        """The tokens of a text, of any length, without those at its ends."""
        encoding = self._whole.encode(text, add_special_tokens=False)
        if self._whole_words and "[UNK]" in encoding.tokens:
            encoding = self._whole.encode(self._reread(text), add_special_tokens=False)
        return list(encoding.ids)

    def framed(self, ids: Sequence[int]) -> list[int]:
        """A whole sequence, of tokens that fit into one."""
        pad = [self._vocabulary["[PAD]"]] * (self.max_length - 2 - len(ids))
        return [self._vocabulary["[CLS]"], *ids, self._vocabulary["[SEP]"], *pad]

    def unknown_words(self, prompt: str) -> tuple[str, ...]:
        """The words of a prompt, in order and once each, that the model was not trained on."""
        return tuple(
            dict.fromkeys(
                prompt[start:end]
                for start, end in self._unknown(prompt)
                if self._form(prompt[start:end]) is None
            )
        )

    def prompt_notes(self, prompt: str) -> str:
        """What a person is told of a prompt: words never learnt, and where it is cut; "" if all is read."""
        words = [f"“{word[:30]}”{self._hint(word)}" for word in self.unknown_words(prompt)]
        more = " and more" if len(words) > NAMED else ""
        sentences = [f"This model never learnt {', '.join(words[:NAMED])}{more}."] if words else []
        read = self._reread(prompt) if self._whole_words else prompt
        encoding = self._whole.encode(read)
        if len(encoding.ids) > self.max_length:
            unread = [read[start:end] for start, end in encoding.offsets[self.max_length - 1 : -1]]
            some = ", ".join(f"“{word[:30]}”" for word in unread[:NAMED_UNREAD])
            rest = len(unread) - NAMED_UNREAD
            sentences.append(
                f"It reads {self.max_length - 2} words; these come behind them and are not read: {some}"
                + (f" and {rest} more." if rest > 0 else ".")
            )
        return " ".join(sentences)

    def _hint(self, word: str) -> str:
        """The known word that is spelt most like an unknown one, where there is one."""
        known = nearest(word, self._vocabulary) if self._whole_words else None
        return f" (it knows “{known}”)" if known else ""

    def _unknown(self, prompt: str) -> list[tuple[int, int]]:
        """Where the words stand that the vocabulary lacks."""
        if self._whole_words:
            prompt = _POSSESSIVE.sub("  ", prompt)
        encoding = self._whole.encode(prompt)
        pairs = zip(encoding.tokens, encoding.offsets, strict=True)
        return [span for token, span in pairs if token == "[UNK]"]

    def _form(self, word: str) -> str | None:
        """The word as words that are known, which are none for punctuation; None where it is not known."""
        if not self._whole_words:
            return None
        return known_form(word.lower(), self._vocabulary) if any(c.isalnum() for c in word) else ""

    def _reread(self, prompt: str) -> str:
        """The prompt with forms that are known in the place of words that are not."""
        prompt = _POSSESSIVE.sub("  ", prompt)
        for start, end in reversed(self._unknown(prompt)):
            if (form := self._form(prompt[start:end])) is not None:
                prompt = f"{prompt[:start]} {form} {prompt[end:]}"
        return prompt


def bert_vocabulary(folder: Path) -> Path | None:
    """The file in a folder that holds BERT's vocabulary: `vocab.txt`, or `tokenizer.json`."""
    files = (folder / name for name in ("vocab.txt", "tokenizer.json"))
    return next((file for file in files if file.is_file()), None)


def _tokens(vocabulary: Path) -> list[str]:
    """The tokens of a vocabulary, in the order of their ids; none where there is no file."""
    try:
        if not vocabulary.is_file():
            return []
        with open(vocabulary, "rb") as file:
            data = file.read(MAX_VOCABULARY + 1)
        if len(data) <= MAX_VOCABULARY:
            text = data.decode("utf-8")
            return _of_json(text) if vocabulary.suffix == ".json" else text.splitlines()
    except (OSError, ValueError, TypeError, RecursionError):
        pass
    raise ConfigError(f"{vocabulary.name} cannot be read as a vocabulary: a text in UTF-8, one token a line.")


def _of_json(text: str) -> list[str]:
    """The vocabulary of a `tokenizer.json` as the tokenizers library writes it.

    Raises:
        ValueError: it holds none, or ids that are not 0, 1, 2, ...
    """
    content = json.loads(text)
    model = content.get("model") if isinstance(content, dict) else None
    ids = model.get("vocab") if isinstance(model, dict) and model.get("type") == "WordPiece" else None
    if not isinstance(ids, dict) or set(ids.values()) != set(range(len(ids))):
        raise ValueError
    return sorted(ids, key=ids.__getitem__)
