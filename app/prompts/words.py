"""What a person wrote for a picture, and the prompts that it becomes: styles, then wildcards, then LoRAs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.keeping.metadata import lora_tag
from app.keeping.readers.a1111 import LORA, lora_of
from app.keeping.readers.models import is_named, use_of
from app.prompts.dynamic import TemplateError, escaped, expand
from app.prompts.styles import Styles
from app.prompts.tags import Tags
from app.prompts.triggers import triggers_of
from app.prompts.wildcards import Wildcards
from ldm_core.errors import PromptError
from ldm_core.library.index import Entry
from ldm_core.request import AdapterUse, Request, single
from ldm_core.request.extensions import ADAPTER
from ldm_core.request.regions import RegionPrompt

PAIRS = (("prompt", "template"), ("negative_prompt", "negative_template"))


@dataclass(frozen=True, slots=True)
class Written:
    """What stands in a form's two fields for a picture; `note` says what could not stand there."""

    prompt: str
    negative_prompt: str
    note: str = ""


class Words:
    """The words of a folder: `wildcards/`, `styles.csv`, `tags/`.

    Args:
        entries: all that lies in the folders of models; tells the names of LoRAs.
    """

    def __init__(self, folder: Path, entries: Callable[[], Sequence[Entry]]) -> None:
        self.folder = folder
        self.wildcards = Wildcards(folder / "wildcards")
        self.styles = Styles(folder)
        self.tags = Tags(folder / "tags")
        self.entries = entries

    def loras(self) -> list[Entry]:
        """The LoRAs that can be named."""
        return [entry for entry in self.entries() if entry.kind == ADAPTER and not entry.problem]

    def triggers(self, lora: str) -> tuple[str, ...]:
        """The words that a LoRA learnt to answer to, as far as something says them."""
        found = next((entry for entry in self.loras() if is_named(entry, lora)), None)
        return () if found is None else triggers_of(found.path)

    def expanded(self, request: Request) -> list[Request]:
        """The requests that a request with templates stands for.

        A prompt that is empty is made of its template where there is one.  Picture i of a batch has the seed
        `seed + i` and draws its words by that; where these differ, each becomes a request of its own.

        Raises:
            PromptError: a template cannot become a prompt.
        """
        pairs = [(getattr(request, name), getattr(request, template)) for name, template in PAIRS]
        pairs += [(region.prompt, region.template) for region in request.regions or ()]
        if not any(template and not prompt for prompt, template in pairs):
            return [request]
        pictures = [self._one(single(request, i)) for i in range(request.batch_size)]
        first = pictures[0]
        alike = all(replace(picture, seed=first.seed) == first for picture in pictures)
        return [replace(first, batch_size=request.batch_size)] if alike else pictures

    def _one(self, request: Request) -> Request:
        uses = {use.name: use for use in request.adapters or ()}
        for name, template in PAIRS:
            text = getattr(request, template)
            if not text or getattr(request, name):
                continue
            words = self._expanded(text, request.seed, name)
            prompt, tagged = self._without_tags(words, name)
            uses |= {use.name: use for use in tagged}
            # A template that says nothing else than the prompt and the LoRAs need not be kept.
            kept = None if words == text else text
            words_of: dict[str, Any] = {name: prompt, template: kept}
            request = replace(request, **words_of)
        regions = tuple(self._region(region, request.seed) for region in request.regions or ())
        return replace(request, adapters=tuple(uses.values()) or None, regions=regions or None)

    def _region(self, region: RegionPrompt, seed: int) -> RegionPrompt:
        if not region.template or region.prompt:
            return region
        words = self._expanded(region.template, seed, "regions")
        if LORA.search(words):
            raise PromptError(
                "regions",
                f"A LoRA changes the whole picture: name it in the prompt, not in that of {region.called}.",
            )
        if not words.strip():
            raise PromptError("regions", f"Nothing is left of the prompt of {region.called}.")
        return replace(region, prompt=words, template=None if words == region.template else region.template)

    def _expanded(self, template: str, seed: int, field: str) -> str:
        try:
            return expand(template, seed, field, self.wildcards.lines)
        except TemplateError as error:
            raise PromptError(field, str(error)) from None

    def _without_tags(self, text: str, field: str) -> tuple[str, list[AdapterUse]]:
        """A prompt without its tags of LoRAs, and these."""
        uses = []
        for match in LORA.finditer(text):
            lora = lora_of(match)
            found = next((entry for entry in self.loras() if is_named(entry, lora.name)), None)
            if found is None:
                names = [entry.name for entry in self.loras()]
                near = difflib.get_close_matches(lora.name, names, 1)
                hint = f" Is it {near[0]!r}?" if near else " LoRAs lie in the folders of models."
                raise PromptError(field, f"There is no LoRA {lora.name[:60]!r}.{hint}")
            use = use_of(found.name, lora)
            if use is None:
                raise PromptError(
                    field, f"The LoRA {match[0].strip()[:80]} needs a strength from -10 to 10, as in :0.8>."
                )
            uses.append(use)
        return (LORA.sub("", text).strip() if uses else text), uses

    def prompt_of(self, text: str, seed: int, field: str) -> str:
        """What a field's text becomes for a seed, without its LoRAs.

        Raises:
            PromptError: it cannot become a prompt.
        """
        return self._without_tags(self._expanded(text, seed, field), field)[0]

    def written(self, request: Request) -> Written:
        """What stands in a form for a picture: its template where that still gives its words, else these."""
        tags = " ".join(lora_tag(use) for use in request.adapters or ())
        texts, notes = [], []
        for name, template in PAIRS:
            text, prompt = getattr(request, template), getattr(request, name)
            if text and self._still(text, request, name):
                texts.append(text)
                continue
            if text:
                notes.append(f"Its words stand there; its template now gives others: {text[:80]}")
            if name == "prompt" and tags:
                prompt = f"{escaped(prompt)} {tags}".strip()
                texts.append(prompt)
            else:
                texts.append(escaped(prompt))
        return Written(texts[0], texts[1], " ".join(notes))

    def _still(self, template: str, request: Request, field: str) -> bool:
        try:
            words = self._expanded(template, request.seed, field)
            prompt, uses = self._without_tags(words, field)
        except PromptError:
            return False
        return prompt == getattr(request, field) and set(uses) <= set(request.adapters or ())
