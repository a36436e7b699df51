"""How long a prompt is to a model, and what it does not read of it.  Needs the model's tokenizer alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ldm_core.conditioners.base import Tokenize
from ldm_core.conditioners.clip import ClipSpec
from ldm_core.conditioners.embeddings import Embeddings
from ldm_core.conditioners.inputs import text_of
from ldm_core.conditioners.syntax import syntax_of
from ldm_core.model_spec import ModelSpec
from ldm_core.prompts import Joined, Phrase, Prompt, Text, read_prompt, texts_of
from ldm_core.request.fields import STEPS


@dataclass(frozen=True, slots=True, order=True)
class PromptLength:
    """Of a prompt, or of the longest of several that it is put together from.

    Attributes:
        chunks: in which it is read; 1 for what reads one text of a fixed length.
        tokens: without those at the ends of chunks.
        room: tokens that so many chunks hold.
    """

    chunks: int
    tokens: int
    room: int


def prompt_length(
    prompt: str,
    named_syntax: str,
    spec: ModelSpec,
    tokenizer: Tokenize,
    embeddings: Embeddings | None,
    *,
    negative: bool = False,
) -> PromptLength | None:
    """None where the tokenizer is of a kind that is not known.

    Raises:
        PromptError: it cannot be read.
    """
    from ldm_core.conditioners.clip_encoder import ClipEncoder
    from ldm_core.conditioners.clip_tokenizer import ClipTokenizer
    from ldm_core.conditioners.tokenizer import Tokenizer

    read = read_prompt(prompt.strip(), syntax_of(named_syntax, spec), negative=negative)
    clip = spec.conditioner(ClipSpec)
    if isinstance(tokenizer, ClipTokenizer) and clip is not None:
        encoder, room = ClipEncoder(tokenizer, clip.towers, embeddings=embeddings), tokenizer.room

        def measured(text: Text) -> PromptLength:
            chunks = encoder.chunks(text)
            return PromptLength(len(chunks), sum(map(len, chunks)), room * len(chunks))

    elif isinstance(tokenizer, Tokenizer):

        def measured(text: Text) -> PromptLength:
            return PromptLength(1, len(tokenizer.pieces(text_of(text))), tokenizer.max_length - 2)

    else:
        return None

    def whole(phrase: Phrase) -> PromptLength:
        lengths = [measured(text) for text in texts_of(phrase)]
        if not isinstance(phrase, Joined):
            return max(lengths)
        columns = ([getattr(one, name) for one in lengths] for name in ("chunks", "tokens", "room"))
        return PromptLength(*map(sum, columns))

    return max(map(whole, _phrases(read)))


def _phrases(prompt: Prompt) -> Iterator[Phrase]:
    """All that it says at some step of a long picture or of its second pass, each once."""
    most = 1 if prompt.is_fixed else STEPS[1]
    passes = (None,) if prompt.is_fixed else (None, most)
    said = (prompt.at(step, most, earlier) for earlier in passes for step in range(most))
    return iter(dict.fromkeys(part.phrase for parts in said for part in parts))
