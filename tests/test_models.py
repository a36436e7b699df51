"""Finding and loading models."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ldm_core.errors import ConfigError, ModelError, ModelFileError, ModelNotFound
from ldm_core.models import ModelLibrary
from tests import tiny

HOW = {"device": "cpu", "dtype": torch.float32}


def test_names_and_info(tmp_path: Path) -> None:
    library = ModelLibrary([tmp_path, tmp_path / "not there"])
    assert library.names() == ()
    with pytest.raises(ModelNotFound, match="Models: none"):
        library.info("landscapes")
    path = tiny.write_model(tmp_path)
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "file").write_text("x")
    assert library.names() == ("landscapes",)  # seen without a restart
    info = library.info("landscapes")
    assert (info.title, info.licence, info.path, info.size_multiple) == ("Tiny", "MIT", path, 16)
    assert info.spec == tiny.SPEC
    assert (info.defaults.model, info.defaults.width, info.defaults.steps) == ("landscapes", 64, 5)


def test_the_first_folder_counts(tmp_path: Path) -> None:
    first = tiny.write_model(tmp_path / "a")
    tiny.write_model(tmp_path / "b", seed=1)
    other = tiny.write_model(tmp_path / "b", seed=1, name="other")
    library = ModelLibrary([tmp_path / "a", tmp_path / "b"])
    assert library.names() == ("landscapes", "other")
    assert library.info("landscapes").path == first
    assert library.info("other").path == other


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/etc/passwd", "../landscapes", "landscapes/", "LANDSCAPES", "x" * 9999]
)
def test_names_are_looked_up_never_opened(tmp_path: Path, name: str) -> None:
    tiny.write_model(tmp_path / "models")
    with pytest.raises(ModelNotFound, match="Models: landscapes") as caught:
        ModelLibrary([tmp_path / "models"]).load(name, **HOW)
    assert len(str(caught.value)) < 200 and str(tmp_path) not in str(caught.value)


def test_loading_is_cached_until_the_files_change(tmp_path: Path) -> None:
    path = tiny.write_model(tmp_path)
    library = ModelLibrary([tmp_path], keep=1)
    model = library.load("landscapes", **HOW)
    assert library.load("landscapes", **HOW) is model
    assert model.tokenizer is not None and model.dtype == torch.float32
    os.utime(path / "model.safetensors", (1, 1))
    again = library.load("landscapes", **HOW)
    assert again is not model
    tiny.write_model(tmp_path, name="other")
    library.load("other", **HOW)
    assert library.load("landscapes", **HOW) is not again  # only one is kept


def test_hash(tmp_path: Path) -> None:
    path = tiny.write_model(tmp_path)
    library = ModelLibrary([tmp_path])
    expected = hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()
    assert library.sha256("landscapes") == library.sha256("landscapes") == expected


def test_damaged_models_are_typed_errors(tmp_path: Path) -> None:
    library = ModelLibrary([tmp_path])
    (tiny.write_model(tmp_path, name="a") / "config.yaml").write_text("model: [")
    with pytest.raises(ConfigError):
        library.info("a")
    (tiny.write_model(tmp_path, name="b") / "model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(ModelFileError):
        library.load("b", **HOW)
    (tiny.write_model(tmp_path, name="c") / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(ModelError):
        library.load("c", **HOW)
    assert library.names() == ("a", "b", "c")


def test_requests_events_and_models_need_no_torch() -> None:
    code = "import sys, ldm_core.models, ldm_core.request, ldm_core.events; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)
