"""How many tokens a prompt is, by the tokenizer alone, and what of it is not read."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ldm_core.conditioners.prompt_length import PromptLength
from ldm_core.errors import ModelNotFound, PromptError
from ldm_core.formats.reading import Checkpoint
from ldm_core.library.models import ModelLibrary
from tests import tiny
from tests.diffusers_pipelines import saved

ROOM = 14  # tokens of a chunk of the small CLIP


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    folder = tmp_path_factory.mktemp("models")
    tiny.write_model(folder, name="words")
    for name in ("sd1", "sdxl"):
        saved(name, folder)
    (folder / "bare").mkdir()
    for file in (folder / "words").iterdir():
        if file.name != "vocab.txt":
            (folder / "bare" / file.name).write_bytes(file.read_bytes())
    return ModelLibrary([folder])


CASES = {
    "": (1, 0),
    "an old lake": (1, 8),  # "an", then letters
    "(an:1.4) [old]": (1, 4),
    "an BREAK an": (2, 2),
    "abcdefghijklmnop": (2, 16),
    "an AND old lake": (1, 7),  # the longer part
    "[an:old lake:0.5] an": (1, 8),  # the longer of both
    "[an:old lake:40]": (1, 7),  # of many steps
    "[an:old lake:1.5]": (1, 7),  # of a second pass
    "[an:old lake:300]": (1, 7),  # of that too
    "<lora:name:1> an": (1, 1),
}


@pytest.mark.parametrize("text", CASES)
def test_of_clip_tokens_of_chunks(library: ModelLibrary, text: str) -> None:
    chunks, tokens = CASES[text]
    assert library.prompt_length("sdxl", text) == PromptLength(chunks, tokens, ROOM * chunks)


def test_a_negative_prompt_and_is_a_word(library: ModelLibrary) -> None:
    length = library.prompt_length("sdxl", "an AND old", negative=True)
    assert length is not None and length.tokens == 1 + 3 + 3


def test_other_syntaxes(library: ModelLibrary) -> None:
    for syntax, text, chunks, tokens in (
        ("plain", "(an)", 1, 3),
        ("comfyui", "(an:1.2)", 1, 1),
        ("invokeai", '("an", "old").and()', 2, 4),
        ("invokeai", '("an", "old").blend(1, 1)', 1, 3),
    ):
        assert library.prompt_length("sdxl", text, syntax) is not None, syntax
        if syntax != "plain":
            assert library.prompt_length("sdxl", text, syntax) == PromptLength(chunks, tokens, ROOM * chunks)


def test_of_whole_words_those_of_one_text(library: ModelLibrary) -> None:
    assert library.prompt_length("words", "a lake over the trees") == PromptLength(1, 5, 14)
    long = library.prompt_length("words", "a lake " * 10)
    assert long == PromptLength(1, 20, 14)


def test_words_that_are_not_read_are_named(library: ModelLibrary) -> None:
    notes = library.prompt_notes("words", "a " * 13 + "lake over snow trees")
    assert notes == "It reads 14 words; these come behind them and are not read: “over”, “snow”, “trees”."
    many = library.prompt_notes("words", "a lake " * 20)
    assert many.endswith("“lake” and 6 more.")
    assert library.prompt_notes("words", "a " * 14) == ""


def test_no_weights_are_read(library: ModelLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("weights are read")

    monkeypatch.setattr(Checkpoint, "read", refuse)
    assert library.prompt_length("sd1", "an old lake") == PromptLength(1, 8, ROOM)


def test_without_a_tokenizer_it_is_not_known(library: ModelLibrary) -> None:
    assert library.prompt_length("bare", "a lake") is None
    with pytest.raises(ModelNotFound):
        library.prompt_length("none", "a")


def test_what_cannot_be_read_is_said(library: ModelLibrary) -> None:
    with pytest.raises(PromptError, match="brackets are open"):
        library.prompt_length("sdxl", "(" * 50)


FIRST_AT_ONCE = """
import sys, threading
from pathlib import Path
from ldm_core.conditioners.clip_tokenizer import ClipTokenizer
from ldm_core.formats.identify import describe
folder = Path(sys.argv[1])
spec = describe(folder).spec.conditioners[0]
places = ((folder / "tokenizer",),)
found = []
def read():
    found.append(spec.find_tokenizer(places, lambda: None).pieces("an"))
threads = [threading.Thread(target=read) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(found) == 6, found
"""


def test_several_may_be_the_first_to_read_a_tokenizer(library: ModelLibrary) -> None:
    command = [sys.executable, "-c", FIRST_AT_ONCE, str(library.entry("sd1").path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_bundled_model_takes_38_words() -> None:
    library = ModelLibrary()
    length = library.prompt_length("landscapes", "a lake at sunset, pine trees")
    assert length == PromptLength(1, length.tokens if length else 0, 38)
    notes = library.prompt_notes("landscapes", "a lake " * 19 + "with a boat")
    assert notes.endswith("are not read: “with”, “a”, “boat”.")
