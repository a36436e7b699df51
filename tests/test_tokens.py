"""Tokenizers that a model came without: fetched once, kept, and a sentence where that cannot be."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import CLIPTokenizer

from ldm_core.conditioners import ClipSpec
from ldm_core.conditioners.clip_tokenizer import ClipTokenizer
from ldm_core.engine.engine import Engine
from ldm_core.engine.events import Done, Failed, Fetching
from ldm_core.errors import ConfigError
from ldm_core.library import download
from ldm_core.library.models import ModelLibrary
from ldm_core.request import TextToImage
from tests.hub_server import Hub, serving
from tests.stable_diffusion import SD1, SD2_EPS, VOCABULARY, spec_of, tower, write

NUM_TOKENS = 49_408  # of the published CLIP, by which it is known
MERGES = "#version: 0.2\na n</w>\n"


def vocab() -> str:
    return json.dumps({token: i for i, token in enumerate(VOCABULARY)})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(download, "PAUSE", 0.001)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    files = {"vocab.json": vocab().encode(), "merges.txt": MERGES.encode(), "model.safetensors": b"x" * 9}
    with serving(Hub(files, repository="openai/clip-vit-large-patch14")) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        yield served


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """One of Stable Diffusion, without the files of its tokenizer."""
    clip = ClipSpec((replace(tower(open_clip=False), vocab_size=NUM_TOKENS),))
    (tmp_path / "models").mkdir()
    write(tmp_path / "models" / "sd", spec_of(clip))
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / "models" / "sd" / name).unlink()
    return tmp_path / "models"


def events(models: Path, kept: Path | None) -> list[object]:
    """What a job tells, by the name of the event; of fetching and of failing what is said."""
    request = TextToImage(model="sd", prompt="an old lake", width=64, height=64, steps=1)
    with Engine(ModelLibrary([models], tokenizers=kept), device="cpu", dtype="float32") as engine:
        return list(engine.submit(request).events())


def test_it_is_fetched_once_with_progress(server: Hub, models: Path, tmp_path: Path) -> None:
    told = events(models, tmp_path / "kept")
    assert isinstance(told[-1], Done)
    texts = [event.text for event in told if isinstance(event, Fetching)]
    assert "CLIP's tokenizer" in texts[0] and texts[-1].count("651 bytes") == 2
    asked = [path for path, _ in server.asked]
    assert {path.rpartition("/")[2] for path in asked if "/resolve/" in path} == {"vocab.json", "merges.txt"}
    again = events(models, tmp_path / "kept")
    assert isinstance(again[-1], Done) and not any(isinstance(event, Fetching) for event in again)
    assert len(server.asked) == len(asked)


@pytest.mark.parametrize("fault", ["offline", "wrong bytes", "gone"])
def test_where_it_cannot_be_fetched_a_sentence_says_so(
    fault: str, server: Hub, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "offline":
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    elif fault == "gone":
        del server.files["merges.txt"]
    else:
        server.wrong["vocab.json"] = b"{" + vocab().encode()[1:-1] + b"]"
    (last,) = [event for event in events(models, tmp_path / "kept") if isinstance(event, Failed)]
    message = str(last.error)
    assert "came without its tokenizer" in message and "vocab.json and merges.txt beside" in message
    assert "\n" not in message and str(tmp_path) not in message and len(message) < 500
    assert not list((tmp_path / "kept").glob("CLIP"))
    # Nothing is asked where fetching is not wanted, and files beside the model are enough.
    count = len(server.asked)
    assert "vocab.json" in str(events(models, None)[-1])
    (models / "sd" / "vocab.json").write_text(vocab())
    (models / "sd" / "merges.txt").write_text(MERGES)
    assert isinstance(events(models, tmp_path / "kept")[-1], Done) and len(server.asked) == count


@pytest.mark.parametrize("decoder", [{}, {"added_tokens_decoder": {}}])
@pytest.mark.parametrize("older", ["!", {"content": "!", "lstrip": False}, None])
def test_it_pads_as_transformers_does(older: object, decoder: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text(vocab())
    (tmp_path / "merges.txt").write_text(MERGES)
    config = {"pad_token": "<|endoftext|>", "tokenizer_class": "CLIPTokenizer", **decoder}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    if older is not None:
        (tmp_path / "special_tokens_map.json").write_text(json.dumps({"pad_token": older}))
    clip = SD2_EPS.conditioner(ClipSpec)
    assert clip is not None
    expected = CLIPTokenizer.from_pretrained(tmp_path)(
        "an a", padding="max_length", max_length=clip.towers[0].max_length
    )
    assert ClipTokenizer([tmp_path], clip)(["an a"])[0, 0].tolist() == expected.input_ids


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("vocab.json", "["),
        ("vocab.json", "[" * 100_000),
        ("vocab.json", "[]"),
        ("vocab.json", '{"a": 0}'),
        ("vocab.json", vocab().replace(": 3,", ": 4,")),
        ("vocab.json", vocab().replace(": 3,", ": 3.0,")),
        ("vocab.json", vocab().replace(": 3,", f": {2**70},")),
        ("merges.txt", "a\n"),
        ("merges.txt", "a b c\n"),
        ("merges.txt", "a nothing\n"),
        ("merges.txt", "a n</w>\n" * 3_000_000),
        ("merges.txt", "a n</w>\n" * 1_900_000),  # small enough to be read
        ("tokenizer.json", "[]"),
        ("tokenizer.json", json.dumps({"model": {"type": "BPE", "vocab": json.loads(vocab())}})),
        ("tokenizer.json", json.dumps({"model": {"vocab": json.loads(vocab()), "merges": [["a", 1]]}})),
        ("tokenizer_config.json", "[1"),
        ("special_tokens_map.json", "[1]"),
    ],
)
def test_damaged_tokenizers_are_named(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text(vocab())
    (tmp_path / "merges.txt").write_text(MERGES)
    clip = SD1.conditioner(ClipSpec)
    assert clip is not None
    ids = ClipTokenizer([tmp_path], clip)(["an a"])[0, 0, :4].tolist()
    assert ids == [len(VOCABULARY) - 2, VOCABULARY.index("an</w>"), VOCABULARY.index("a</w>"), ids[3]]
    both = {"vocab": json.loads(vocab()), "merges": ["a n</w>"]}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": both}))
    assert ClipTokenizer([tmp_path], clip)(["an a"])[0, 0, :4].tolist() == ids
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / name).write_text(content)
    began = time.thread_time()
    with pytest.raises(ConfigError, match="damaged"):
        ClipTokenizer([tmp_path], clip)
    assert time.thread_time() - began < 5


def test_very_many_tokens_cost_little(tmp_path: Path) -> None:
    """In the vocabulary they are refused; what is only said to be added is not looked at."""
    many = [f"~{i:x}" for i in range(900_000)]  # as many as are read
    vocabulary = VOCABULARY + many
    (tmp_path / "vocab.json").write_text(
        json.dumps(dict(zip(vocabulary, range(len(vocabulary)), strict=True)), separators=(",", ":"))
    )
    (tmp_path / "merges.txt").write_text(MERGES)
    clip = SD1.conditioner(ClipSpec)
    assert clip is not None
    began = time.thread_time()
    with pytest.raises(ConfigError, match=f"has {len(vocabulary)} tokens, the text encoder"):
        ClipTokenizer([tmp_path], clip)
    (tmp_path / "vocab.json").write_text(vocab())
    expected = ClipTokenizer([tmp_path], clip)(["an a"]).tolist()
    (tmp_path / "added_tokens.json").write_text(json.dumps(many))
    added = {"model": {"vocab": json.loads(vocab()), "merges": ["a n</w>"]}, "added_tokens": many}
    (tmp_path / "tokenizer.json").write_text(json.dumps(added))
    assert ClipTokenizer([tmp_path], clip)(["an a"]).tolist() == expected
    assert time.thread_time() - began < 5
