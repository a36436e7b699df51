"""What helps in writing: tags, completion, earlier prompts; and settings by name."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from app.keeping.presets import Presets, from_file
from app.prompts.completion import complete
from app.prompts.history import KEPT, PromptHistory
from app.prompts.tags import Tags
from app.prompts.triggers import triggers_of
from app.prompts.words import Words
from ldm_core.errors import FileError
from ldm_core.library.index import Entry


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tags").mkdir()
    (tmp_path / "wildcards").mkdir()
    rows = [
        'long_hair,0,4000000,"lange_haare,longhair"',
        "long_dress,0,9000,",
        "hair,0,100,",
        "^_^,0,500,",
        "saber_(fate),4,700,",
        ",,,",
        "# comment,0,1,",
        "no_count,0,many,",
    ]
    (tmp_path / "tags" / "mine.csv").write_text("\ufeff" + "\n".join(rows), encoding="utf-8")
    for name in ("season", "sea", "colours"):
        (tmp_path / "wildcards" / f"{name}.txt").write_text("x\n")
    return tmp_path


def test_tags_by_name_later_word_and_alias_the_most_used_first(folder: Path) -> None:
    tags = Tags(folder / "tags")
    assert [tag.name for tag in tags.find("long")] == ["long_hair", "long_dress"]
    assert [tag.name for tag in tags.find("hair")] == ["hair", "long_hair"]  # the whole name first
    (found,) = tags.find("lange")
    assert (found.name, found.alias) == ("long_hair", "lange")
    assert tags.find("LONG_h")[0].name == "long_hair"
    assert tags.find("zzz") == [] and tags.find(" ") == []
    (folder / "tags" / "more.csv").write_text("zzz,0,1,\n")
    assert [tag.name for tag in tags.find("zzz")] == ["zzz"]


def test_a_hundred_thousand_tags_answer_at_once(folder: Path) -> None:
    rows = (f"{chr(97 + i % 26)}tag_{i}_of_many,0,{i}," for i in range(100_000))
    (folder / "tags" / "large.csv").write_text("\n".join(rows))
    tags = Tags(folder / "tags")
    tags.find("a")
    began = time.perf_counter()
    for start in ("a", "at", "ztag", "many", "of", "btag 99"):
        assert tags.find(start)
    assert (time.perf_counter() - began) / 6 < 0.2


@pytest.mark.parametrize(
    ("before", "length", "expected"),
    [
        ("a lake, lon", 3, ["easylong", "long hair", "long dress"]),
        ("(lon", 3, ["easylong", "long hair", "long dress"]),
        ("a long h", 0, []),  # no tag, and no word of the model
        ("sab", 3, [r"saber \(fate\)"]),
        ("__", 2, ["__colours__", "__sea__", "__season__"]),
        ("__seas", 6, ["__season__"]),
        ("{2$$__so", 4, ["__season__"]),
        ("__sea__", 0, []),
        ("<lora:in", 8, ["<lora:ink:1>"]),
        ("<lora:ink:0.", 0, []),
        ("mountains, sno", 3, ["snow", "snowy"]),
        ("mountains, inkw", 4, ["old_inkwash"]),
        ("a old_in", 6, ["old_inkwash"]),
        ("(embedding:", 10, ["embedding:easylong", "embedding:old_inkwash"]),
        ("a lake embedding:old", 13, ["embedding:old_inkwash"]),
        ("a lake <old", 4, ["<old_inkwash>"]),
        ("easyl", 5, ["easylong"]),
        ("long", 4, ["easylong", "long hair", "long dress"]),
        ("a", 0, []),
        ("", 0, []),
    ],
)
def test_what_could_go_on(folder: Path, before: str, length: int, expected: list[str]) -> None:
    words = Words(folder, lambda: [Entry("ink", folder, "LoRA", 1)])
    found = complete(words, words.tags, before, ["lake", "snow", "snowy"], ["old_inkwash", "easylong"])
    assert [item.text for item in found.items] == expected
    assert found.length == length or not expected


@pytest.mark.parametrize(
    ("beside", "metadata", "expected"),
    [
        ({".civitai.info": '{"trainedWords": ["inkwash, brush", 7]}'}, {}, ["inkwash", "brush"]),
        ({".json": '{"activation text": "sumi-e"}'}, {"modelspec.trigger_phrase": "ink"}, ["sumi-e", "ink"]),
        (
            {},
            {"ss_tag_frequency": '{"1_a": {"1girl": 3, "inkwash": 9}, "2_b": {"1girl": 2}}'},
            ["inkwash", "1girl"],
        ),
        ({".json": "[[[" * 9999, ".civitai.info": "null"}, {"ss_tag_frequency": "{"}, []),
        ({}, {}, []),
    ],
)
def test_what_a_lora_answers_to(
    tmp_path: Path, beside: dict[str, str], metadata: dict[str, str], expected: list[str]
) -> None:
    file = tmp_path / "ink.safetensors"
    header = json.dumps({"__metadata__": metadata}).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    for suffix, text in beside.items():
        file.with_suffix(suffix).write_text(text)
    assert list(triggers_of(file)) == expected
    words = Words(tmp_path, lambda: [Entry("ink", file, "LoRA", 1)])
    behind = complete(words, words.tags, "a lake <lora:ink:0.8> ", ())
    assert [item.text for item in behind.items] == expected and behind.length == 0
    for word in expected:
        typed = complete(words, words.tags, f"<lora:Ink:1>, a lake, {word[:-1]}", ())
        assert (typed.items[0].text, typed.items[0].kind, typed.length) == (word, "trigger", len(word) - 1)
        assert word not in [
            item.text for item in complete(words, words.tags, f"{word} <lora:ink:1> ", ()).items
        ]


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 40, (9).to_bytes(8, "little") + b"[" * 9])
def test_a_damaged_lora_answers_to_nothing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "ink.safetensors"
    file.write_bytes(content)
    assert triggers_of(file) == ()


def test_earlier_prompts(tmp_path: Path) -> None:
    history = PromptHistory(tmp_path / "prompts.sqlite")
    for prompt, negative in (("a lake", "fog"), ("100% snow_white", ""), ("a lake", "fog"), ("  ", "")):
        history.add(prompt, negative)
    assert history.find() == [("a lake", "fog"), ("100% snow_white", "")]
    assert history.find("LAKE a") == [("a lake", "fog")]
    assert history.find("0% w_w") == [("100% snow_white", "")] and history.find("snow%white") == []
    for i in range(20):
        history.add(f"number {i}", "")
    assert len(history.find(most=KEPT)) == 22
    history.close()
    assert PromptHistory(tmp_path / "prompts.sqlite").find("lake")


def test_presets(tmp_path: Path) -> None:
    presets = Presets(tmp_path / "presets.sqlite")
    presets.write("text", "preset", {"steps": 7}, " Mine ")
    presets.write("text", "preset", {"steps": 8}, "alike")
    presets.write("text", "last", {"prompt": "é"})
    assert presets.names("text") == ["alike", "Mine"] and presets.names("paint") == []
    assert presets.read("text", "preset", "Mine") == {"steps": 7}
    presets.rename("text", "Mine", "Ours")
    with pytest.raises(FileError, match="already"):
        presets.rename("text", "Ours", "alike")
    with pytest.raises(FileError, match="name"):
        presets.write("text", "preset", {}, " ")
    with pytest.raises(FileError, match="too large"):
        presets.write("text", "last", {"prompt": "x" * 3_000_000})
    presets.delete("text", "preset", "alike")
    presets.close()
    again = Presets(tmp_path / "presets.sqlite")
    assert again.names("text") == ["Ours"] and again.read("text", "last") == {"prompt": "é"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no preset"),
        (b"\x89PNG", "no preset"),
        (b"[" * 100_000, "no preset"),
        (b'{"kind": "preset", "form": "text"}', "no settings"),
        (b'{"kind": "preset", "form": "paint", "settings": {}}', "another tab"),
        (b" " * 3_000_000, "too large"),
    ],
)
def test_files_that_are_no_presets(content: bytes, words: str) -> None:
    with pytest.raises(FileError, match=words):
        from_file(content, "text")


def test_a_newer_preset_is_read_as_far_as_it_is_known() -> None:
    newer = {"kind": "preset", "form": "text", "version": 9, "name": "n", "settings": {"steps": 5, "new": 1}}
    name, settings, note = from_file(json.dumps(newer).encode(), "text")
    assert (name, settings["steps"]) == ("n", 5) and "newer version" in note
