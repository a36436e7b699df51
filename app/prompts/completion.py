"""What could stand where a person writes: wildcards, LoRAs and their words, embeddings, tags, known words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.prompts.tags import Tag, Tags
from app.prompts.words import Words

MOST = 12
SEEN = 200  # characters before the caret
_WILDCARD = re.compile(r"__([^\s_{}|#$][^{}|#$\n]*?)?$")
_LORA = re.compile(r"<(?:lora|lyco):([^:>\n]*)$", re.IGNORECASE)
_LORA_BEFORE = re.compile(r"<(?:lora|lyco):([^:>\n]+)[^>\n]*>", re.IGNORECASE)
_BEHIND_LORA = re.compile(r"<(?:lora|lyco):[^>\n]*>[\s,]*$", re.IGNORECASE)
_EMBEDDING = re.compile(r"(?:^|[\s,(])(embedding:([^\s,()]*))$")  # as ComfyUI writes it
_OPENED = re.compile(r"(<([^<>:\n]*))$")  # as InvokeAI does
# A tag may hold blanks; it begins behind a comma, a bracket, an option's border or a line's beginning.
_WORDS = re.compile(r"[^,\n(){}|\[\]<>:.;]*$")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What would be inserted, and what is told of it."""

    text: str
    kind: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """Suggestions for the last `length` characters before the caret."""

    length: int = 0
    items: tuple[Suggestion, ...] = ()


def complete(
    words: Words, tags: Tags, before: str, known: Sequence[str], embeddings: Sequence[str] = ()
) -> Completion:
    """What could go on from a text.

    Args:
        before: what stands before the caret.
        known: the words that the chosen model knows.
        embeddings: the names of those that are made for it.
    """
    before = before[-SEEN:]
    if match := _LORA.search(before):
        names = {entry.name: entry.title for entry in words.loras()}
        found = _fitting(list(names), match[1])
        loras = (Suggestion(f"<lora:{name}:1>", "LoRA", names[name]) for name in found)
        return Completion(len(match[0]), tuple(loras))
    for pattern, form in ((_EMBEDDING, "embedding:{}"), (_OPENED, "<{}>")):
        if embeddings and (match := pattern.search(before)):
            named = _fitting(embeddings, match[2])
            items = [Suggestion(form.format(name), "embedding") for name in named]
            return Completion(len(match[1]), tuple(items))
    if match := _WILDCARD.search(before):
        found = _fitting(words.wildcards.names(), match[1] or "")
        return Completion(len(match[0]), tuple(Suggestion(f"__{name}__", "wildcard") for name in found))
    match = _WORDS.search(before)
    typed = match[0].lstrip() if match else ""
    learnt = _triggers(words, before[: len(before) - len(typed)], typed)
    if not typed and _BEHIND_LORA.search(before):
        return Completion(0, tuple(learnt))
    if len(typed) < 2:
        return Completion()
    last = typed.rpartition(" ")[2]
    tagged = (Suggestion(_written(tag), "tag", _told(tag)) for tag in tags.find(typed, MOST))
    items = [*learnt, *_named(embeddings, typed), *tagged]
    if items or len(last) < 2:
        return Completion(len(typed), tuple(items[:MOST]))
    plain = (word for word in known if word.startswith(last.lower()) and word != last.lower())
    items = [*_named(embeddings, last), *(Suggestion(word, "word") for word in plain)]
    return Completion(len(last), tuple(items[:MOST]))


def _triggers(words: Words, before: str, typed: str) -> list[Suggestion]:
    """What the LoRAs before the caret answer to and is not there yet."""
    names = dict.fromkeys(name.strip() for name in _LORA_BEFORE.findall(before))
    written, low = _LORA_BEFORE.sub("", before), typed.casefold()
    return [
        Suggestion(word, "trigger", f"of {name}")
        for name in names
        for word in words.triggers(name)
        if low in word.casefold() and word != typed and word not in written
    ]


def _named(embeddings: Sequence[str], typed: str) -> list[Suggestion]:
    return [Suggestion(name, "embedding") for name in _fitting(embeddings, typed) if name != typed]


def _fitting(names: Sequence[str], typed: str) -> list[str]:
    """Names that hold what was typed, those that begin with it first."""
    low = typed.casefold()
    fits = [name for name in names if low in name.casefold()]
    return sorted(fits, key=lambda name: (not name.casefold().startswith(low), name.casefold()))[:MOST]


def _written(tag: Tag) -> str:
    """As it stands in a prompt: brackets would be weights."""
    text = tag.name.replace("_", " ") if len(tag.name) > 3 else tag.name  # not of a face like ^_^
    return re.sub(r"[()\[\]]", r"\\\g<0>", text)


def _told(tag: Tag) -> str:
    count = tag.count
    much = str(count or "")
    if count >= 1000:
        much = f"{count / 1e6:.1f}M" if count >= 1e6 else f"{count / 1e3:.0f}k"
    return f"{tag.alias} · {much}".strip(" ·") if tag.alias else much
