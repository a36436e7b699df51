"""What is written becomes prompts, and comes back: templates, LoRAs, styles; on the command line too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.keeping.metadata import read_settings, to_parameters
from app.keeping.readers.a1111 import said_in
from app.prompts.styles import Style, Styles
from app.prompts.words import Words
from ldm_core.errors import FileError, PromptError
from ldm_core.library.index import Entry
from ldm_core.request import AdapterUse, TextToImage, parse_request, to_json
from tests.test_cli import generate, models, result

__all__ = ["models"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "wildcards").mkdir()
    (tmp_path / "wildcards" / "season.txt").write_text("winter\nsummer\nautumn\nspring\n")
    return tmp_path


def words(folder: Path, loras: Sequence[str] = ()) -> Words:
    return Words(folder, lambda: [Entry(name, folder / name, "LoRA", 1) for name in loras])


def test_each_picture_of_a_batch_draws_by_its_own_seed(folder: Path) -> None:
    made = words(folder).expanded(TextToImage(template="a __season__ {lake|sea}", seed=5, batch_size=4))
    assert [one.seed for one in made] == [5, 6, 7, 8]
    assert len({one.prompt for one in made}) > 1
    for one in made:
        assert words(folder).expanded(TextToImage(template=one.template, seed=one.seed)) == [one]
        assert parse_request(json.loads(json.dumps(to_json(one)))) == one


def test_what_says_the_same_for_all_stays_a_batch(folder: Path) -> None:
    (made,) = words(folder).expanded(TextToImage(template=r"a \{lake\} {at dusk}", seed=5, batch_size=4))
    assert (made.prompt, made.batch_size) == ("a {lake} at dusk", 4)
    (plain,) = words(folder).expanded(TextToImage(template="a lake", negative_template="fog", batch_size=2))
    assert (plain.prompt, plain.template, plain.negative_prompt) == ("a lake", None, "fog")


def test_a_picture_s_words_come_back_as_they_were_written(folder: Path) -> None:
    mine = words(folder, ["ink"])
    for text in ("a __season__ lake", "a {b|c}", "plain", "a <lora:ink:0.5>", "{x|y} <lora:ink:1:0.25>"):
        (made,) = mine.expanded(TextToImage(template=text, seed=3))
        assert mine.written(made).prompt == text
    literal = TextToImage(prompt="as it is: {a|b} __season__", seed=3)
    written = mine.written(literal).prompt
    assert mine.expanded(TextToImage(template=written, seed=3))[0].prompt == literal.prompt


def test_where_a_template_gives_other_words_now_the_words_count(folder: Path) -> None:
    (made,) = words(folder).expanded(TextToImage(template="a __season__ lake", seed=3))
    (folder / "wildcards" / "season.txt").write_text("monsoon\n")
    written = words(folder).written(made)
    assert written.prompt == made.prompt and "__season__" in written.note


def test_loras_are_named_in_the_prompt(folder: Path) -> None:
    (made,) = words(folder, ["Ink_Wash", "b"]).expanded(
        TextToImage(template="<lora:ink wash:0.5:0.25> a lake <lora:b:te=0:unet=1>")
    )
    assert made.adapters == (AdapterUse("Ink_Wash", 0.25, 0.5), AdapterUse("b", 1.0, 0.0))
    assert made.prompt == "a lake"
    with pytest.raises(PromptError, match="no LoRA 'Ink_Wsh'"):
        words(folder, ["Ink_Wash"]).expanded(TextToImage(template="<lora:Ink_Wsh:1>"))
    with pytest.raises(PromptError, match="strength"):
        words(folder, ["b"]).expanded(TextToImage(template="<lora:b:much>"))


def test_other_programs_read_the_template(folder: Path) -> None:
    (made,) = words(folder).expanded(TextToImage(template="a\n__season__ lake", negative_template="{x|y}"))
    text = to_parameters(made)
    assert text.endswith("Template: a\n__season__ lake\nNegative Template: {x|y}")
    said = said_in(text)
    assert said is not None and said.prompt == made.prompt and not said.unread


def test_the_command_line_draws_too(folder: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_PROMPTS", str(folder))
    asked = {"task": "text-to-image", "template": "a __season__ lake", "width": 64, "height": 64, "steps": 2}
    source = folder / "request.json"
    source.write_text(json.dumps({**asked, "seed": 9, "batch_size": 3}))
    paths = result(generate(source, folder / "out", models))
    found = [read_settings(path).request for path in paths]
    assert [one.seed for one in found] == [9, 10, 11]
    assert {one.template for one in found} == {"a __season__ lake"} and len({one.prompt for one in found}) > 1
    again = result(generate(paths[0], folder / "again", models))
    assert read_settings(again[0]).request == found[0]
    refused = generate(source, folder / "out", models, "--set", "template=__seasons__")
    assert refused.returncode == 2 and "Is it __season__?" in refused.stderr


# Styles ---------------------------------------------------------------------------------------------------


def test_styles_of_a1111(tmp_path: Path) -> None:
    text = (
        "\ufeffname,prompt,negative_prompt,note\r\n"
        '# hidden,x,,\r\nPoster,"{prompt}, bold shapes, ""flat""",photo,mine\r\nSoft,soft light,,\r\n'
    )
    (tmp_path / "styles.csv").write_bytes(text.encode())
    (tmp_path / "styles_old.csv").write_text("name,text\nOld,aged paper\n")
    styles = Styles(tmp_path)
    assert styles.names() == ["Poster", "Soft", "Old"]
    assert styles.applied("a lake", "fog", ["Poster", "Soft"]) == (
        'a lake, bold shapes, "flat", soft light',
        "fog, photo",
    )
    assert styles.applied("", "", ["Old"]) == ("aged paper", "")
    styles.save(Style("Poster", "{prompt}; new", "blur"))
    styles.save(Style("Night", "at night"))
    assert styles.style("Poster").prompt == "{prompt}; new"
    assert Styles(tmp_path).names() == ["Poster", "Soft", "Night", "Old"]
    kept = (tmp_path / "styles.csv").read_text(encoding="utf-8-sig")
    assert "# hidden,x,," in kept and "mine" in kept
    assert (tmp_path / "styles.csv.bak").exists()
    styles.delete("Soft")
    assert "Soft" not in styles.names()
    with pytest.raises(FileError, match="no style 'Soft'"):
        styles.applied("a", "", ["Soft"])
    with pytest.raises(FileError, match="needs a name"):
        styles.save(Style("#x"))


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b'name,prompt\n"' + b"x" * 200_000, b"\xff\xfe\x00"])
def test_damaged_styles_are_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "styles.csv").write_bytes(content)
    assert Styles(tmp_path).names() in ([], ["x" * 200_000])
