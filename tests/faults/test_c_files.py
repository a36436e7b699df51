"""Sections A to C where a running program meets them; the readers' own tests are named in `test_rows`."""

from __future__ import annotations

import ast
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from app.web.server import Running
from ldm_core.conditioners.clip import ClipSpec
from ldm_core.conditioners.clip_tokenizer import ClipTokenizer
from ldm_core.errors import ConfigError, ModelError
from ldm_core.spec import ClipTower
from tests import tiny
from tests.faults.conftest import SMALL, Asking

Guest = Callable[[int], Asking]
ROOT = Path(__file__).resolve().parents[2]


class Runs:
    """Leaves a file where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path(self.marker),)


def test_a26_files_that_are_deleted_in_use(program: Running, guest: Guest, models: Path) -> None:
    path = tiny.write_model(models, name="fleeting", seed=2, spec=tiny.EVERYTHING)
    program.studio.models.scan()
    asking = guest(60)
    event = asking.begin({**SMALL, "model": "fleeting", "steps": 100})
    shutil.rmtree(path)
    assert asking.end(event).kind in ("complete", "error")
    gone = asking.call({**SMALL, "model": "fleeting"})
    assert gone.kind == "error" and "fleeting" in gone.text and str(models) not in gone.text
    program.studio.models.scan()


PICKLES = ("model.bin", "model.ckpt", "diffusion_pytorch_model.bin", "pytorch_model.bin")


@pytest.mark.parametrize("name", PICKLES)
def test_c11_pickles_beside_safe_weights_stay_shut(
    program: Running, guest: Guest, models: Path, tmp_path: Path, name: str
) -> None:
    path = tiny.write_model(models, name="beside", spec=tiny.EVERYTHING)
    (path / name).write_bytes(pickle.dumps(Runs(tmp_path / "ran")))
    (path / "pipeline.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    program.studio.models.scan()
    assert guest(61).call({**SMALL, "model": "beside"}).kind == "complete"
    assert not (tmp_path / "ran").exists()
    shutil.rmtree(path)
    program.studio.models.scan()


def test_c06_a_configuration_that_links_out_of_its_folder(
    program: Running, guest: Guest, models: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text(yaml.safe_dump({"password": "a secret of this computer"}))
    path = tiny.write_model(models, name="linked", spec=tiny.EVERYTHING)
    (path / "config.yaml").rename(tmp_path / "config.yaml")
    for target in (secret, tmp_path / "config.yaml", Path("/dev/zero"), Path("/etc/passwd")):
        (path / "config.yaml").unlink(missing_ok=True)
        (path / "config.yaml").symlink_to(target)
        program.studio.models.scan()
        answer = guest(62).call({**SMALL, "model": "linked"})
        assert answer.kind == "error", target
        assert (
            "a secret" not in answer.text and "root:" not in answer.text and str(tmp_path) not in answer.text
        )
    (path / "config.yaml").unlink()
    (path / "own.yaml").write_bytes((tmp_path / "config.yaml").read_bytes())
    (path / "config.yaml").symlink_to("own.yaml")  # within its folder
    program.studio.models.scan()
    assert guest(62).call({**SMALL, "model": "linked"}).kind == "complete"
    shutil.rmtree(path)
    program.studio.models.scan()


def test_a22_a23_what_a_file_says_of_itself_is_text_of_some_length(program: Running, models: Path) -> None:
    file = models / "words.safetensors"
    says = {"modelspec.title": "<img src=x onerror=hit()>" * 1000, "ss_tag_frequency": "{" * 100_000}
    name = "lora_unet_x.lora_{}.weight"
    weights = {name.format("down"): torch.zeros(1, 2), name.format("up"): torch.zeros(2, 1)}
    save_file(weights, file, says)
    program.studio.models.scan()
    (entry,) = (one for one in program.studio.models.entries() if one.path == file)
    assert len(str(entry)) < 20_000
    file.unlink()
    program.studio.models.scan()


TOWER = ClipTower(8, 1, 1, 8, 100, 77, open_clip=False)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"vocab.json": "[]", "merges.txt": ""},
        {"vocab.json": "{" * 10_000, "merges.txt": ""},
        {"vocab.json": '{"a": "b"}', "merges.txt": "a\n" * 1_000_000},
        {"tokenizer.json": "{}"},
        {"tokenizer.json": '{"version": "1.0", "added_tokens": [' + ",".join(['{"id": 1}'] * 300_000) + "]}"},
        {"tokenizer.json": " " * 17_000_000},
    ],
    ids=str,
)
def test_c13_tokenizers_that_are_none(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError):
        ClipTokenizer([tmp_path], ClipSpec((TOWER,)))


def calls() -> Iterator[tuple[Path, str, ast.Call]]:
    """Every call in the program, and the last name of what is called."""
    for room in ("app", "ldm_core"):
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.Call):
                    name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
                    yield file, name or getattr(node.func, "id", ""), node


def test_b15_b18_c03_c04_d16_ways_that_are_not_there() -> None:
    """Nothing reads pickles by default rules, runs what a repository names, or decodes pictures unguarded."""
    for file, name, call in calls():
        where = f"{file}:{call.lineno}"
        assert name not in ("imread", "imdecode", "unsafe_load"), where
        assert name != "import_module" or file == ROOT / "ldm_core/__init__.py", where  # its own, by a table
        given = {word.arg: ast.unparse(word.value) for word in call.keywords}
        of = getattr(call.func.value, "id", "") if isinstance(call.func, ast.Attribute) else ""
        assert (of, name) != ("os", "system"), where
        if name == "from_pretrained":  # with weights of ours, or without code of theirs
            first = ast.unparse(call.args[0])
            assert first == "None" or given["trust_remote_code"] == "False", where
            assert first != "None" or given["attn_implementation"] == "'eager'", where
        if name == "load":
            assert of not in ("pickle", "marshal", "yaml", "hub"), where
            assert of != "torch" or given["weights_only"] == "True", where


def test_c01_names_of_models_are_looked_up(program: Running) -> None:
    for name in ("/etc/passwd", "../landscapes", "landscapes/..", "http://127.0.0.1", "\0", "a" * 10_000):
        with pytest.raises(ModelError):
            program.studio.models.entry(name)
