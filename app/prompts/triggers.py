"""The words that a LoRA learnt to answer to, from what its file and the notes beside it say.

ink.civitai.info       {"trainedWords": ["inkwash"]}
ink.json               {"activation text": "inkwash, brush"}, which A1111 writes
ink.safetensors        modelspec.trigger_phrase, else the tags that it was trained with most often
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

MOST = 12
MOST_TAGS = 6  # of a training: the most frequent
MAX_NOTES = 1_000_000  # bytes
MAX_HEADER = 16_000_000  # bytes of a safetensors file's
MAX_CHARACTERS = 200  # of one


def triggers_of(path: Path) -> tuple[str, ...]:
    """Of a LoRA's file; none where nothing says them."""
    beside = [path.with_suffix(suffix) for suffix in (".civitai.info", ".json")]
    return _triggers(path, tuple(map(_stamp, (path, *beside))))


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@functools.lru_cache(maxsize=512)
def _triggers(path: Path, _changed: tuple[int, ...]) -> tuple[str, ...]:
    found = (word.strip() for words in _said(path) for word in words.split(","))
    fitting = (word for word in found if 0 < len(word) <= MAX_CHARACTERS and word.isprintable())
    return tuple(dict.fromkeys(fitting))[:MOST]


def _said(path: Path) -> Iterator[str]:
    trained = _notes(path.with_suffix(".civitai.info")).get("trainedWords")
    yield from (word for word in (trained if isinstance(trained, list) else []) if isinstance(word, str))
    yield str(_notes(path.with_suffix(".json")).get("activation text") or "")
    metadata = _metadata(path)
    phrase = metadata.get("modelspec.trigger_phrase")
    if isinstance(phrase, str) and phrase.strip():
        yield phrase
    else:
        yield from _tags(metadata.get("ss_tag_frequency"))


def _tags(text: object) -> Iterator[str]:
    """Of `{"folder": {"tag": count}}`, as kohya's trainer writes it."""
    counts: Counter[str] = Counter()
    folders = _object(text if isinstance(text, str) else "")
    for tags in folders.values():
        for tag, count in tags.items() if isinstance(tags, dict) else ():
            counts[str(tag)] += count if isinstance(count, int) else 0
    return (tag for tag, _ in counts.most_common(MOST_TAGS))


def _notes(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_NOTES + 1)
    except OSError:
        return {}
    return _object(content.decode("utf-8", "replace")) if len(content) <= MAX_NOTES else {}


def _metadata(path: Path) -> dict[str, object]:
    """What stands in a safetensors file's header beside the tensors."""
    if path.suffix.lower() != ".safetensors":
        return {}
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = file.read(length) if length <= MAX_HEADER else b""
    except OSError:
        return {}
    metadata = _object(header.decode("utf-8", "replace")).get("__metadata__")
    return metadata if isinstance(metadata, dict) else {}


def _object(text: str) -> dict[str, object]:
    try:
        read = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}
