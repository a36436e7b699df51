"""From a prompt to CLIP's token ids."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tokenizers
import torch
from torch import Tensor

from ldm_core.conditioners.clip import ClipSpec
from ldm_core.errors import ConfigError
from ldm_core.spec import ClipTower

START, END = "<|startoftext|>", "<|endoftext|>"
MAX_BYTES = 16_000_000  # of a file; CLIP's tokenizer.json has 2.2 MB
FILES = ("vocab.json", "merges.txt")  # as published; `tokenizer.json` holds both


class ClipTokenizer:
    """CLIP's byte-pair encoding, lower case; one for each text encoder, as they pad differently.

    Args:
        folders: for each encoder, with `vocab.json` and `merges.txt`, or `tokenizer.json`.

    Raises:
        ConfigError: a file is not there or damaged, or has more tokens than the encoder.
    """

    def __init__(self, folders: Sequence[Path], spec: ClipSpec) -> None:
        shared = len(set(folders)) < len(folders)
        self._encoders = [
            _encoder(folder, tower, shared=shared) for folder, tower in zip(folders, spec.towers, strict=True)
        ]
        self.room = min(tower.max_length for tower in spec.towers) - 2  # tokens of a text in one chunk
        self.comma = self._encoders[0].bytes.token_to_id(",</w>")

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """Prompts -> (b, encoders, n) int64, cut and padded to the encoders' length."""
        return torch.tensor([self.framed(self.pieces(prompt)[: self.room]) for prompt in prompts])

    def pieces(self, text: str) -> list[tuple[int, ...]]:
        """The tokens of a text, of any length; of each the id for every encoder.

        Raises:
            ConfigError: the encoders' vocabularies are not the same.
        """
        ids = [encoder.bytes.encode(text, add_special_tokens=False).ids for encoder in self._encoders]
        if len({len(row) for row in ids}) > 1:
            raise ConfigError("The tokenizers of the model's text encoders differ; put CLIP's own there.")
        return list(zip(*ids))

    def framed(self, tokens: Sequence[tuple[int, ...]]) -> list[list[int]]:
        """For each encoder the ids of a whole chunk, of tokens that fit into one."""
        rows = zip(*tokens) if tokens else [()] * len(self._encoders)
        return [
            [encoder.start, *ids, encoder.end, *[encoder.pad] * (self.room - len(ids))]
            for encoder, ids in zip(self._encoders, rows, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Encoder:
    """Byte-pair encoding, and the ids around a text: before, behind, and up to the encoder's length."""

    bytes: tokenizers.Tokenizer
    start: int
    end: int
    pad: int


def has_vocabulary(folder: Path) -> bool:
    """Whether CLIP's tokenizer lies in a folder."""
    return (folder / "tokenizer.json").is_file() or all((folder / name).is_file() for name in FILES)


def _encoder(folder: Path, tower: ClipTower, *, shared: bool) -> _Encoder:
    try:
        encoder = _byte_pairs(folder, tower.vocab_size)
    except (OSError, ValueError, RecursionError):
        raise ConfigError(
            f"The tokenizer in {folder.name} is damaged or not CLIP's; put the model's "
            f"{' and '.join(FILES)} there."
        ) from None
    usual = "!" if tower.open_clip else END
    pad = usual if shared else _padding(folder, usual)
    start, end, behind = (encoder.token_to_id(token) or 0 for token in (START, END, pad))
    return _Encoder(encoder, start, end, behind)


def _byte_pairs(folder: Path, most: int) -> tokenizers.Tokenizer:
    """Byte-pair encoding by the folder's vocabulary and merges.

    All is checked first, as the library would meet damage with a bare exception, or build it for minutes.

    Raises:
        OSError, ValueError: the files cannot be read, or do not fit together.
        ConfigError: it has more than `most` tokens.
    """
    # The library puts another module in its place at the end of its import; a thread that waited for another
    # one's import is given the first, so only the second statement finds what is there.
    import transformers  # noqa: F401
    from transformers import CLIPTokenizer

    if (folder / "tokenizer.json").is_file():
        content = json.loads(_text(folder / "tokenizer.json"))
        model = content.get("model") if isinstance(content, dict) else None
        vocabulary, rows = (model.get("vocab"), model.get("merges")) if isinstance(model, dict) else (0, 0)
    else:
        vocabulary = json.loads(_text(folder / "vocab.json"))
        lines = _text(folder / "merges.txt").splitlines()
        rows = [line for line in lines if line and not line.startswith("#version")]
    if (
        not isinstance(vocabulary, dict)
        or not isinstance(rows, list)
        or len(rows) > len(vocabulary)  # each makes a token
        or not {START, END} <= vocabulary.keys()
        or not all(type(value) is int for value in vocabulary.values())
        or set(vocabulary.values()) != set(range(len(vocabulary)))
    ):
        raise ValueError
    if len(vocabulary) > most:
        raise ConfigError(
            f"The tokenizer in {folder.name} has {len(vocabulary)} tokens, the text encoder {most}; put the "
            "one that the model was trained with there."
        )
    merges = [_pair(row, vocabulary) for row in rows]
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges)
    return tokenizer.backend_tokenizer


def _pair(row: object, vocabulary: dict[str, int]) -> tuple[str, str]:
    """A merge, as "a b" or ["a", "b"], of tokens that there are."""
    pair = row.split(" ") if isinstance(row, str) else row
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
        raise ValueError
    if not {*pair, pair[0] + pair[1]} <= vocabulary.keys():
        raise ValueError
    return pair[0], pair[1]


def _padding(folder: Path, usual: str) -> str:
    """What the folder says, which is one encoder's alone, else the usual.

    In the published folders of Stable Diffusion 2 the two files differ, and the older one counts.
    """
    config, older = _json(folder / "tokenizer_config.json"), _json(folder / "special_tokens_map.json")
    token = config.get("pad_token")
    if "added_tokens_decoder" not in config:
        token = older.get("pad_token") or token
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else usual


def _json(path: Path) -> dict[str, object]:
    """A JSON object, empty where there is no file."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(_text(path))
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ConfigError(f"{path.name} is damaged, as it is no JSON object; download it again.")
    return content


def _text(path: Path) -> str:
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError
    return data.decode("utf-8")
