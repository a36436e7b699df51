"""What lies in a collection is told truly: nested weights, pieces, the hub's cache, files of other kinds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ldm_core.formats import load_model
from ldm_core.formats.identify import identify
from ldm_core.formats.reading import read_state_dict
from ldm_core.library.models import ModelLibrary
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request.extensions import EMBEDDING
from tests.stable_diffusion import SD1, write

ONES = torch.ones(2, 2)


def test_modules_that_hold_tensors_are_no_malware(tmp_path: Path) -> None:
    content = {"string_to_param": nn.ParameterDict({"mine": nn.Parameter(ONES)}), "step": 5}
    torch.save(content, tmp_path / "word.pt")
    assert list(read_state_dict(tmp_path / "word.pt")) == ["string_to_param.mine"]
    assert identify(tmp_path / "word.pt").kind == EMBEDDING


@pytest.mark.parametrize("key", ["state_dict", "params_ema", "model", "module"])
def test_nested_weights_are_found(key: str, tmp_path: Path) -> None:
    weights = {"conv_first.weight": ONES, "body.0.rdb1.conv1.weight": ONES}
    beside = {"params": {"other": ONES}} if key == "params_ema" else {"optimizer": {"state": {"a": ONES}}}
    torch.save({key: weights, **beside, "epoch": 3}, tmp_path / "x.pth")
    assert set(read_state_dict(tmp_path / "x.pth")) == set(weights)
    assert identify(tmp_path / "x.pth").kind == "upscaler"


def test_an_ip_adapter_in_two_tables_and_a_hypernetwork(tmp_path: Path) -> None:
    torch.save(
        {"image_proj": {"norm.weight": ONES}, "ip_adapter": {"1.to_k_ip.weight": ONES}}, tmp_path / "a.bin"
    )
    assert identify(tmp_path / "a.bin").kind == "IP-Adapter"
    torch.save(
        {768: (ONES, ONES), "layer_structure": [1, 2, 1], "activation_func": "relu"}, tmp_path / "h.pt"
    )
    assert "hypernetwork" in identify(tmp_path / "h.pt").problem


def test_a_checkpoint_in_pieces_is_one_entry_and_loads(tmp_path: Path) -> None:
    path, state = write(tmp_path / "whole", SD1)
    folder = tmp_path / "pieces"
    folder.mkdir()
    for name in ("vocab.json", "merges.txt"):
        (folder / name).write_bytes((path.parent / name).read_bytes())
    names = sorted(state)
    for i, part in enumerate((names[::2], names[1::2]), 1):
        save_file({name: state[name] for name in part}, folder / f"big-0000{i}-of-00002.safetensors")
    (folder / "big.safetensors.index.json").write_text("{}")
    library = ModelLibrary([folder])
    (entry,) = library.entries()
    assert entry.name == "big" and entry.is_usable and entry.size > 0.9 * path.stat().st_size
    model = load_model(entry.path)
    assert isinstance(model, LatentDiffusion) and model.spec == SD1
    (folder / "big-00002-of-00002.safetensors").unlink()
    library.scan()
    assert "pieces" in library.entry("big").problem


def test_the_hub_s_cache_shows_repositories_and_each_file_once(tmp_path: Path) -> None:
    path, _ = write(tmp_path / "at", SD1)
    box = tmp_path / "hub" / "models--painter--skies-xl"
    snapshot = box / "snapshots" / ("ab" * 20)
    (box / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (box / "blobs" / ("cd" * 32)).write_bytes(path.read_bytes())
    (snapshot / "model.safetensors").symlink_to(box / "blobs" / ("cd" * 32))
    entries = ModelLibrary([tmp_path / "hub"]).entries()
    assert [entry.name for entry in entries] == ["skies-xl"] and entries[0].is_usable


def test_gguf_files_are_listed(tmp_path: Path) -> None:
    (tmp_path / "flux.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    (entry,) = ModelLibrary([tmp_path]).entries()
    assert "GGUF" in entry.problem
