"""Pickled checkpoints: weights come out, whatever else is in them, and nothing of it runs."""

from __future__ import annotations

import io
import os
import pickle
import socket
import struct
import subprocess
import sys
import time
from collections import OrderedDict, defaultdict
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from ldm_core.errors import ModelFileError
from ldm_core.formats.reading import read_state_dict
from tests.checkpoints import FUZZ, WEIGHTS, archive, big, refused, same, tensor_pickle, written


def test_zip_checkpoints(tmp_path: Path) -> None:
    for content in (WEIGHTS, {"state_dict": OrderedDict(WEIGHTS), "epoch": 3, "lr": 1e-4, "note": None}):
        torch.save(content, tmp_path / "m.safetensors")  # the name does not matter
        assert same(read_state_dict(tmp_path / "m.safetensors"), WEIGHTS)


def test_views_parameters_and_shared_storages(tmp_path: Path) -> None:
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    weights = {"whole": base, "turned": base.T, "part": base[1:, ::2], "scalar": base[2, 3], "none": base[:0]}
    torch.save({**weights, "parameter": torch.nn.Parameter(base)}, tmp_path / "m.pt")
    got = read_state_dict(tmp_path / "m.pt")
    assert same(got, {**weights, "parameter": base})
    assert all(tensor.is_contiguous() and not tensor.requires_grad for tensor in got.values())
    save_file({"turned": base.T.contiguous()}, tmp_path / "m.safetensors")
    assert same(read_state_dict(tmp_path / "m.safetensors"), {"turned": base.T})


class Recorder:
    """Stands for whatever a trainer pickles; would leave a file if anything of it ran."""

    marker: Path

    def __setstate__(self, state: object) -> None:
        self.marker.write_text("ran")


def test_trainer_leftovers_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import argparse
    import types

    import numpy as np

    module = types.ModuleType("taming")
    Recorder.marker = tmp_path / "ran"
    monkeypatch.setattr(Recorder, "__module__", module.__name__)
    monkeypatch.setattr(module, "Recorder", Recorder, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    recorder = Recorder()
    recorder.best = 1.0  # type: ignore[attr-defined]
    content = {
        "state_dict": OrderedDict(WEIGHTS),
        "callbacks": {Recorder: {"best": 1}, "other": recorder},
        "score": np.float64(0.5),
        "array": np.arange(3),
        "counts": defaultdict(list, {"a": [1]}),
        "args": argparse.Namespace(lr=1e-4),
        "path": Path("x"),
        "set": {1, 2},
        ("tuple", "key"): 1,
        "optimizer_states": [
            {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"betas": (0.9, 0.99)}]}
        ],
    }
    for protocol in (2, 4):
        torch.save(content, tmp_path / "m.ckpt", pickle_protocol=protocol)
        monkeypatch.delitem(sys.modules, module.__name__)
        assert same(read_state_dict(tmp_path / "m.ckpt"), WEIGHTS)
        assert module.__name__ not in sys.modules and not Recorder.marker.exists()
        monkeypatch.setitem(sys.modules, module.__name__, module)


class Call:
    """Pickles as a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call


def _attacks(marker: Path) -> list[object]:
    import builtins
    import importlib
    import runpy
    import webbrowser

    code = f"open({str(marker)!r}, 'w').write('ran')"
    return [
        Call(os.system, f"touch {marker}"),
        Call(builtins.eval, code),
        Call(builtins.exec, code),
        Call(builtins.open, str(marker), "w"),
        Call(runpy.run_path, str(marker)),
        Call(importlib.import_module, "antigravity"),
        Call(subprocess.Popen, ["touch", str(marker)]),
        Call(subprocess.check_output, ["touch", str(marker)]),
        Call(webbrowser.open, "http://127.0.0.1:9"),
        Call(torch.load, str(marker)),
        Call(torch.hub.load, "a/b", "c"),
        Call(pickle.loads, b"."),
        Call(socket.create_connection, ("127.0.0.1", 9)),
        Call(bytearray, 2_000_000_000),
        Call(torch.empty, 2_000_000_000),
        Call(torch.nn.Linear, 100_000, 100_000),
        Call(os.kill, os.getpid(), 9),
        Call(sys.exit, 1),
        Call(time.sleep, 100),
    ]


@pytest.mark.parametrize("number", range(19))
@pytest.mark.parametrize("protocol", [2, 4])
def test_attacks_are_refused_and_nothing_runs(number: int, protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    attack = _attacks(marker)[number]
    for place in (attack, {"state_dict": attack}, {"state_dict": WEIGHTS, "callbacks": [attack]}):
        out = io.BytesIO()
        torch.save(place, out, pickle_protocol=protocol)
        message = refused(written(tmp_path / "m.ckpt", out.getvalue()))
        assert "asks to run" in message and "nothing was run" in message
        assert "old format" in refused(
            written(tmp_path / "raw.ckpt", pickle.dumps(place if place is attack else [attack]))
        )
    assert not marker.exists()


def test_attack_through_an_allowed_name(tmp_path: Path) -> None:
    """Names inside of a trainer's package are skipped, not imported, even if it reaches further."""
    pickled = b"\x80\x02cldm.util\nos.system\nX\x05\x00\x00\x00false\x85R."
    assert "whole Python object" in refused(written(tmp_path / "m.ckpt", archive(pickled)))
    assert "ldm.util" not in sys.modules


def test_whole_models_and_torchscript(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "m.pt")
    assert "torch.nn.modules.linear.Linear" in refused(tmp_path / "m.pt")
    pickled = pickle.dumps({}, 2)
    data = archive(pickled, members={"code/__torch__.py": b"", "constants.pkl": b""})
    assert "TorchScript" in refused(written(tmp_path / "s.pt", data))
    assert "no weights" in refused(written(tmp_path / "e.pt", archive(pickled)))


@pytest.mark.parametrize(
    ("pickled", "reason"),
    [
        (big(400_000), "no weights"),
        (big(600_000), "far longer"),
        (big(17_000_000), "far larger"),
        (b"\x80\x02" + b"(" * 200_000 + b"t" * 200_000 + b".", "no weights"),
        (b"\x80\x02" + b"]" + b"]a" * 100_000 + b".", "no weights"),
        (b"\x80\x02K\x01" + b"2\x86" * 40 + b".", "instruction DUP"),
        (b"\x80\x02K\x01\x85q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"}h\x00K\x01s.", "no weights"),
        (b"\x80\x02iposix\nsystem\n.", "instruction INST"),
        (b"\x80\x02(cposix\nsystem\no.", "asks to run posix.system"),
        (b"\x80\x02\x82\x01.", "instruction EXT1"),
        (b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.", "damaged"),
        (b"\x80\x02X\xff\xff\xff\x7fabc.", "damaged"),
        (b"\x80\x02R.", "damaged"),
        (b"\x80\x02h\x05.", "damaged"),
        (b"\x80\x02K\x01", "damaged"),
        (b"", "damaged"),
        (b"\x80\x02K\x01K\x02s.", "damaged"),
        (b"\x80\x02(.", "damaged"),
        (b"\x80\x02cposix\n\x1b[31msystem\n.", "asks to run posix.?[31msystem"),
    ],
)
def test_strange_pickles(pickled: bytes, reason: str, tmp_path: Path) -> None:
    """Bombs of nesting, of doubling and of length; instructions that no checkpoint has a need of."""
    assert reason in refused(written(tmp_path / "m.ckpt", archive(pickled)), seconds=2.0)


LIST_OF_PAIRS = b"]q\x00(" + b"X\x01\x00\x00\x00kK\x01\x86q\x01" + b"h\x01" * 200_000 + b"e"
LONG_NAME = b"X\x03\x00\x00\x00ldmq\x00X\x00\x00\x80\x00" + b"a" * 0x800000 + b"q\x01"


def colliding(count: int) -> bytes:
    """Entries whose keys are whole numbers with the same hash."""
    keys = (i * (2**61 - 1) for i in range(1, count))
    return b"".join(b"\x8a\x0a" + key.to_bytes(10, "little") + b"N" for key in keys)


@pytest.mark.parametrize(
    "program",
    [
        LIST_OF_PAIRS + b"ccollections\nOrderedDict\nq\x02" + b"h\x02h\x00\x85R" * 50_000,
        b"(" + b"K\x01" * 200_000 + b"tq\x00" + b"h\x00" * 100_000,
        LONG_NAME + b"h\x00h\x01\x93" * 100_000,
        b"}(" + colliding(150_000) + b"u",
        b"}(" + b"K\x01\x85N" * 100_000 + b"u",
    ],
)
def test_programs_that_repeat_themselves(program: bytes, tmp_path: Path) -> None:
    """A few bytes that make the work of many: shared lists, long names, colliding keys."""
    refused(written(tmp_path / "m.ckpt", archive(b"\x80\x04" + program + b".")), seconds=2.0)


@pytest.mark.parametrize(
    ("arguments", "size", "reason"),
    [
        (("4", "0", "4", "1"), 16, None),
        (("1", "0", "2^40", "0"), 4, "larger than the data"),
        (("4", "0", "4", "0"), 16, None),  # one number four times, within its storage's size
        (("4", "1", "4", "1"), 16, "larger than the data"),
        (("4", "-1", "4", "1"), 16, "damaged"),
        (("4", "0", "4", "-1"), 16, "damaged"),
        (("4", "0", "-1", "1"), 16, "damaged"),
        (("4", "0", "True", "1"), 16, "damaged"),
        (("4", "0", "4", ""), 16, "damaged"),
        (("4", "0", "4", "1"), 12, "has 12 bytes"),
        (("4", "0", "4", "1"), 20, "has 20 bytes"),
        (("2^40", "0", "4", "1"), 16, "has 16 bytes"),
        (("-1", "0", "4", "1"), 16, "damaged"),
        (("4", "0", "4", "1", "../data.pkl"), 16, "nothing"),
        (("4", "0", "4", "1", "7"), 16, "nothing"),
    ],
)
def test_tensors_and_their_storages(
    arguments: tuple[str, ...], size: int, reason: str | None, tmp_path: Path
) -> None:
    data = archive(tensor_pickle(*arguments), members={"data/0": struct.pack("<5f", 1, 2, 3, 4, 5)[:size]})
    path = written(tmp_path / "m.ckpt", data)
    if reason is None:
        assert read_state_dict(path)["w"].shape == (4,)
    else:
        assert reason in refused(path)


@FUZZ
@given(noise=st.binary(max_size=40), keep=st.integers(0, 120))
def test_mutated_pickles(noise: bytes, keep: int, tmp_path: Path) -> None:
    """Any program for the stack machine ends in a typed error or in weights."""
    pickled = tensor_pickle("4", "0", "4", "1")[:keep] + noise + b"."
    members = {"data/0": struct.pack("<4f", 1, 2, 3, 4)}
    try:
        read_state_dict(written(tmp_path / "m.ckpt", archive(pickled, members=members)))
    except ModelFileError as error:
        assert str(error).isprintable()
