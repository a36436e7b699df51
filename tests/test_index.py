"""Folders of models as people have them: told by content, remembered, never an exception."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ldm_core.errors import ConfigError, ModelFileError, ModelNotFound
from ldm_core.formats import identify
from ldm_core.library.index import Entry, Index
from ldm_core.library.models import ModelLibrary
from tests import tiny

SMALL = {"layer.weight": torch.zeros(2, 3)}


def entries(*folders: Path) -> dict[str, Entry]:
    return Index(folders).scan()


def saved(path: Path, *names: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: torch.zeros(4, 4, 1, 1) for name in names}, path)
    return path


def test_a_collection_of_another_program(tmp_path: Path) -> None:
    """Nested folders, single files of any name with a description beside, folders of both kinds."""
    whole = tiny.write_model(tmp_path / "checkpoints" / "mine")
    text = (whole / "config.yaml").read_text("utf-8")
    weights = load_file(whole / "model.safetensors")
    for name in ("photo v2.SafeTensors", "über-Öl 油画.ckpt", "no suffix"):
        target = tmp_path / "checkpoints" / name
        save_file(weights, target)
        target.with_suffix(".yaml").write_text(text, "utf-8")
    torch.save({"state_dict": weights}, tmp_path / "checkpoints" / "old.ckpt")
    (tmp_path / "checkpoints" / "old.yaml").write_text(text, "utf-8")
    (tmp_path / "checkpoints" / "photo v2.png").write_bytes(b"preview")
    pipeline = tmp_path / "diffusers" / "sd"
    saved(pipeline / "unet" / "diffusion_pytorch_model.safetensors", "conv_in.weight")
    (pipeline / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"never opened")
    (pipeline / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    found = entries(tmp_path)
    assert set(found) == {"landscapes", "photo v2", "über-Öl 油画", "no suffix", "old", "sd"}
    for name in set(found) - {"sd"}:
        entry = found[name]
        assert (entry.kind, entry.problem) == ("model", ""), name
        assert entry.serves("text-to-image") and not entry.serves("super-resolution")
        assert (entry.precision, entry.licence) == ("float16", "MIT")
    assert found["landscapes"].path == whole
    assert found["landscapes"].size == (whole / "model.safetensors").stat().st_size
    assert found["sd"].family == "Stable Diffusion" and found["sd"].num_parameters == 16


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("lora_unet_down_blocks_0.lora_up.weight", "lora_unet_down_blocks_0.lora_down.weight"), "LoRA"),
        (("lora_te_text_model_encoder.hada_w1_a",), "LoRA"),
        (("emb_params",), "textual inversion"),
        (("first_stage_model.decoder.conv_in.weight",), "first stage"),
        (("encoder.down_blocks.0.x.weight", "decoder.up_blocks.0.x.weight"), "first stage"),
        (("control_model.input_blocks.0.0.weight",), "ControlNet"),
        (("text_model.embeddings.token_embedding.weight",), "text encoder"),
        (("double_blocks.0.img_attn.qkv.weight",), "diffusion transformer"),
        (("model.diffusion_model.input_blocks.0.0.weight",), "model"),
        (("some.thing",), "unknown"),
    ],
)
def test_what_is_no_model_is_told_by_name(names: tuple[str, ...], kind: str, tmp_path: Path) -> None:
    saved(tmp_path / "thing.safetensors", *names)
    entry = entries(tmp_path)["thing"]
    assert entry.kind == kind and not entry.is_usable
    assert (entry.problem or entry.description).endswith(".")


@pytest.mark.parametrize(
    ("tensor", "channels", "family"),
    [
        ("cond_stage_model.transformer.text_model.final_layer_norm.weight", 4, "Stable Diffusion 1"),
        (
            "cond_stage_model.transformer.text_model.final_layer_norm.weight",
            9,
            "Stable Diffusion 1 inpainting",
        ),
        ("cond_stage_model.model.ln_final.weight", 4, "Stable Diffusion 2"),
        ("cond_stage_model.model.ln_final.weight", 7, "Stable Diffusion 2 x4 upscaler"),
        ("conditioner.embedders.1.model.ln_final.weight", 4, "Stable Diffusion XL"),
        ("conditioner.embedders.0.model.ln_final.weight", 4, "Stable Diffusion XL refiner"),
        ("cond_stage_model.transformer.token_emb.weight", 4, "latent diffusion, from text"),
        ("betas", 3, "latent diffusion"),
    ],
)
def test_families(tensor: str, channels: int, family: str, tmp_path: Path) -> None:
    stem = torch.zeros(320, channels, 3, 3)
    save_file(
        {"model.diffusion_model.input_blocks.0.0.weight": stem, tensor: torch.zeros(2)}, tmp_path / "m.pt"
    )
    assert entries(tmp_path)["m"].family == family


def test_files_that_cannot_be_read_are_listed_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.safetensors").write_bytes(b"")
    (tmp_path / "cut.safetensors").write_bytes(struct.pack("<Q", 500) + b"{" + b" " * 100)
    (tmp_path / "page.ckpt").write_bytes(b"<!DOCTYPE html><html>login</html>")
    (tmp_path / "random.zip").write_bytes(b"PK\x03\x04" + b"\0" * 100)
    (tmp_path / "notes.doc").write_bytes(b"hello")
    (tmp_path / "half.safetensors.part").write_bytes(b"x")
    (tmp_path / "link.ckpt").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.ckpt")
    found = entries(tmp_path)
    assert set(found) == {"empty", "cut", "page"}
    assert "empty" in found["empty"].problem and "incomplete download" in found["cut"].problem
    assert "web page" in found["page"].problem
    for entry in found.values():
        assert entry.kind == "unknown" and str(tmp_path) not in entry.problem


def test_names_are_unique_and_never_paths(tmp_path: Path) -> None:
    for path in (
        "a/x.safetensors",
        "b/x.safetensors",
        "b/x.ckpt",
        "b/c/x.ckpt",
        "d/b/x.ckpt",
        "x/model.safetensors",
    ):
        saved(tmp_path / path, "some.thing")
    saved(tmp_path / "new\nline <b>.safetensors", "some.thing")
    saved(tmp_path / f"{'long' * 50}.safetensors", "some.thing")
    saved(Path(os.fsdecode(os.fsencode(tmp_path) + b"/not\xffutf8.safetensors")), "some.thing")
    found = entries(tmp_path)
    assert set(found) >= {"x", "x.safetensors", "x.ckpt", "x (c)", "x (b)", "new_line <b>", "not_utf8"}
    assert len(found) == 9 and len({entry.path for entry in found.values()}) == 9
    for name in found:
        assert name.isprintable() and len(name) <= 200 and "/" not in name


def test_the_first_folder_keeps_the_name(tmp_path: Path) -> None:
    first, second = (saved(tmp_path / f / "x.safetensors", "some.thing") for f in ("a", "b"))
    assert entries(tmp_path / "a", tmp_path / "b")["x"].path == first
    assert entries(tmp_path / "b", tmp_path / "a")["x"].path == second
    assert len(entries(tmp_path / "a", tmp_path / "a", tmp_path)) == 2  # a folder given twice, and its parent


def test_links_are_followed_once(tmp_path: Path) -> None:
    saved(tmp_path / "real" / "x.safetensors", "some.thing")
    (tmp_path / "models" / "deep").mkdir(parents=True)
    (tmp_path / "models" / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "models" / "deep" / "loop").symlink_to(tmp_path / "models")
    (tmp_path / "models" / "y.safetensors").symlink_to(tmp_path / "real" / "x.safetensors")
    assert set(entries(tmp_path / "models")) == {"x", "y"}


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "a" / "x.safetensors", "some.thing")
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "locked":  # tests may run as root, whom permissions do not stop
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    library = ModelLibrary([tmp_path])
    assert [entry.name for entry in library.entries()] == ["x"]
    assert library.problems() == ("The folder locked cannot be read: Permission denied.",)


def test_files_that_vanish_during_the_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        saved(tmp_path / f"{name}.safetensors", "some.thing")
    look = identify.identify

    def remove_then_look(path: Path) -> identify.Identity:
        path.unlink()
        return look(path)

    monkeypatch.setattr(identify, "identify", remove_then_look)
    assert all(e.kind == "unknown" and "opened" in e.problem for e in entries(tmp_path).values())
    monkeypatch.undo()
    assert entries(tmp_path) == {}


# The cache -----------------------------------------------------------------------------------------------


def looks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that are looked into from now on."""
    seen: list[Path] = []
    look = identify.identify
    monkeypatch.setattr(identify, "identify", lambda path: (seen.append(path), look(path))[1])
    return seen


def test_only_what_changed_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, folder = tmp_path / "data" / "index.json", tmp_path / "models"
    path = tiny.write_model(folder)
    other = saved(folder / "x.safetensors", "some.thing")
    first = Index([folder], cache).scan()
    seen = looks(monkeypatch)
    assert Index([folder], cache).scan() == first and seen == []
    assert Index([folder], cache).remembered() == first  # without a look at the disk
    assert Index([tmp_path / "elsewhere"], cache).remembered() == {}
    os.utime(other, (1, 1))
    Index([folder], cache).scan()
    assert seen == [other]
    (path / "config.yaml").write_text("model: [")  # the description counts as well
    assert Index([folder], cache).scan()["landscapes"].problem
    assert seen == [other, path]
    other.unlink()
    assert set(Index([folder], cache).scan()) == {"landscapes"} == set(Index([folder], cache).remembered())


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"entries": {"/x": {}}}', b"\xff\xfe", b"[" * 100_000]
)
def test_a_damaged_cache_is_made_anew(damage: bytes, tmp_path: Path) -> None:
    cache, folder = tmp_path / "index.json", tmp_path / "models"
    tiny.write_model(folder)
    expected = Index([folder], cache).scan()
    whole = json.loads(cache.read_text())
    cache.write_bytes(damage)
    assert Index([folder], cache).scan() == expected
    assert json.loads(cache.read_text()) == whole
    for row in whole["entries"].values():
        row["size"] = "many"
    cache.write_text(json.dumps(whole))
    assert Index([folder], cache).scan() == expected


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path: Path) -> None:
    tiny.write_model(tmp_path / "models")
    (tmp_path / "file").write_text("x")
    assert "landscapes" in Index([tmp_path / "models"], tmp_path / "file" / "index.json").scan()


def test_a_new_recogniser_keeps_the_hashes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, folder = tmp_path / "index.json", tmp_path / "models"
    tiny.write_model(folder)
    index = Index([folder], cache)
    index.scan()
    digest = index.sha256("landscapes")
    index.save()
    monkeypatch.setattr("ldm_core.library.index._VERSION", 99)
    seen = looks(monkeypatch)
    assert Index([folder], cache).scan()["landscapes"].sha256 == digest
    assert len(seen) == 1


def test_hashes_are_computed_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, folder = tmp_path / "index.json", tmp_path / "models"
    path = tiny.write_model(folder)
    expected = hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()
    library = ModelLibrary([folder], cache=cache)
    assert library.entry("landscapes").sha256 == ""
    library.hash_all(threading.Event())
    assert library.entry("landscapes").autov2 == expected[:10]
    monkeypatch.setattr("ldm_core.library.index._hash", None)
    again = ModelLibrary([folder], cache=cache)
    assert again.sha256("landscapes") == again.entry("landscapes").sha256 == expected
    (path / "model.safetensors").unlink()
    with pytest.raises(ModelFileError, match="removed"):
        again.sha256("landscapes")


def test_hashing_can_be_stopped(tmp_path: Path) -> None:
    tiny.write_model(tmp_path)
    library = ModelLibrary([tmp_path])
    stop = threading.Event()
    stop.set()
    library.hash_all(stop)
    assert library.entry("landscapes").sha256 == ""


# Through the library -------------------------------------------------------------------------------------


def test_before_the_first_scan_a_page_is_answered_from_the_cache(tmp_path: Path) -> None:
    cache, folder = tmp_path / "index.json", tmp_path / "models"
    tiny.write_model(folder)
    saved(folder / "deep" / "x.safetensors", "some.thing")
    first = ModelLibrary([folder], cache=cache, wait=False)
    assert first.names() == ("landscapes",)  # no cache yet: a look at the names alone
    assert first.info("landscapes").title == "Tiny"
    ModelLibrary([folder], cache=cache).names()
    tiny.write_model(folder, name="new")
    library = ModelLibrary([folder], cache=cache, wait=False)
    assert library.names() == ("landscapes",)
    assert library.info("landscapes").title == "Tiny"
    library.scan()
    assert library.names() == ("landscapes", "new")


def test_a_new_file_is_seen_by_its_name_and_by_a_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = ModelLibrary([tmp_path])
    assert library.names() == ()
    tiny.write_model(tmp_path, name="one")
    library.scan(max_age=1000)
    assert library.names() == ()
    library.scan()
    assert library.names() == ("one",)
    tiny.write_model(tmp_path, name="two")
    with pytest.raises(ModelNotFound, match="Models: one"):
        library.info("two")  # not looked again so soon
    monkeypatch.setattr("ldm_core.library.models.FRESH", 0.0)
    assert library.info("two").name == "two"


def test_what_cannot_be_used_says_so(tmp_path: Path) -> None:
    saved(tmp_path / "style.safetensors", "lora_unet_x.lora_up.weight")
    library = ModelLibrary([tmp_path])
    assert library.names() == () and "or incomplete" in library.entry("style").problem
    with pytest.raises(ConfigError):
        library.info("style")


@pytest.mark.slow
def test_thousands_of_files_cost_nothing_at_the_second_start(tmp_path: Path) -> None:
    folder, cache = tmp_path / "models", tmp_path / "index.json"
    for number in range(5000):
        path = folder / f"{number % 50}" / f"model {number}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(SMALL, path)
    began = time.perf_counter()
    Index([folder], cache).scan()
    first = time.perf_counter() - began
    began = time.perf_counter()
    index = Index([folder], cache)
    assert len(index.remembered()) == 5000
    opened = time.perf_counter() - began
    index.scan()
    second = time.perf_counter() - began
    print(f"5,000 files: first {first:.2f} s, from the cache {opened:.3f} s, second scan {second:.3f} s")
    assert second < 2 and opened < 1
