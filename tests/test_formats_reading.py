"""Checkpoints from strangers: what is honest loads, everything else is refused in one sentence."""

from __future__ import annotations

import io
import json
import os
import pickle
import socket
import struct
import subprocess
import sys
import time
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from ldm_core.errors import ModelFileError
from ldm_core.formats.reading import read_state_dict

WEIGHTS = {
    "encoder.conv_in.weight": torch.arange(24, dtype=torch.float32).reshape(2, 3, 4),
    "encoder.conv_in.bias": torch.tensor([0.5, -1.0]),
    "steps": torch.tensor(7),
}
# With fixtures, hypothesis examples share one folder; each overwrites the file of the one before.
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def refused(path: Path, seconds: float = 1.0) -> str:
    """The message with which a file is refused: soon, in a sentence or two, without its folder."""
    start = time.process_time()  # of this process alone: other work on the machine does not count
    with pytest.raises(ModelFileError) as caught:
        read_state_dict(path)
    assert time.process_time() - start < seconds
    message = str(caught.value)
    assert str(path.parent) not in message and "\n" not in message and "Traceback" not in message
    assert message.endswith(".") and len(message) < 500 and message.isprintable()
    assert "weights_only=False" not in message
    return message


def same(got: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return got.keys() == expected.keys() and all(
        torch.equal(got[k], expected[k]) and got[k].dtype == expected[k].dtype for k in expected
    )


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def container(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with any header."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def entry(shape: list[int], begin: float, end: float, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


# --- safetensors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["model.safetensors", "model.SafeTensors", "model.ckpt", "model.pt", "model"]
)
def test_safetensors_of_any_name(name: str, tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / name, metadata={"title": "<script>alert(1)</script>"})
    assert same(read_state_dict(tmp_path / name), WEIGHTS)


def test_all_number_formats(tmp_path: Path) -> None:
    dtypes = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()
    weights = {f"x.{d}": torch.tensor([[1, 0], [0, 1]]).to(getattr(torch, d)) for d in dtypes}
    save_file(weights, tmp_path / "m.safetensors")
    torch.save(weights, tmp_path / "m.ckpt")
    assert same(read_state_dict(tmp_path / "m.safetensors"), weights)
    assert same(read_state_dict(tmp_path / "m.ckpt"), weights)


def test_result_does_not_depend_on_the_file(tmp_path: Path) -> None:
    """Nothing is mapped: cutting the file short afterwards neither kills nor changes anything."""
    path = tmp_path / "m.safetensors"
    save_file({"w": torch.ones(1_000_000)}, path)
    weights = read_state_dict(path)
    os.truncate(path, 10)
    assert float(weights["w"].sum()) == 1_000_000


BAD_SAFETENSORS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "seven bytes": (b"1234567", "incomplete"),
    "eight bytes": (struct.pack("<Q", 3), "incomplete"),
    "header beyond the file": (container(b"{}" + b" " * 30, length=10_000), "incomplete download"),
    "header of 2^63": (container(b"{}" + b" " * 30, length=2**63), "incomplete download"),
    "header of 2^64-1": (container(b"{}" + b" " * 30, length=2**64 - 1), "incomplete download"),
    "header of 9 MB": (container(b"{" + b" " * 9_000_000), "header has 9.0 MB"),
    "not JSON": (container(b"{this is not JSON at all}"), "damaged"),
    "not UTF-8": (container(b'{"\xff\xfe": 1}' + b" " * 20), "damaged"),
    "100,000 deep": (container(b'{"a":' + b"[" * 100_000), "more than"),
    "30,000 deep": (container(b'{"a":' + b"[" * 30_000), "damaged"),
    "no tensors": (container({}, b"12345678"), "no tensors"),
    "truncated data": (container({"w": entry([4], 0, 16)}, b"\0" * 15), "incomplete download"),
    "trailing bytes": (container({"w": entry([4], 0, 16)}, b"\0" * 17), "1 bytes more"),
    "overlap": (container({"a": entry([4], 0, 16), "b": entry([4], 8, 24)}, b"\0" * 24), "overlaps"),
    "hole": (container({"a": entry([4], 0, 16), "b": entry([4], 20, 36)}, b"\0" * 36), "gap"),
    "reversed": (container({"a": entry([4], 16, 0)}, b"\0" * 16), "place of a"),
    "negative": (container({"a": entry([4], -16, 0)}, b"\0" * 16), "place of a"),
    "float offsets": (container({"a": entry([4], 0.0, 16.0)}, b"\0" * 16), "place"),
    "boolean offsets": (container({"a": entry([], False, 4)}, b"\0" * 4), "place"),
    "shape mismatch": (container({"a": entry([5], 0, 16)}, b"\0" * 16), "16 bytes"),
    "overflow": (container({"a": entry([2**32, 2**32], 0, 16)}, b"\0" * 16), "shape of a"),
    "2^64 dimension": (container({"a": entry([2**64], 0, 0)}), "shape of a"),
    "0 times 2^62": (container({"a": entry([0, 2**62], 0, 0)}), "shape of a"),
    "negative dimensions": (container({"a": entry([-2, -2], 0, 16)}, b"\0" * 16), "shape of a"),
    "huge number": (container(b'{"a":{"dtype":"F32","shape":[' + b"9" * 5000 + b']}}'), "damaged"),
    "NaN in JSON": (container(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}'), "NaN"),
    "unknown dtype": (container({"a": entry([4], 0, 16, "F99")}, b"\0" * 16), "'F99'"),
    "lower-case dtype": (container({"a": entry([4], 0, 16, "f32")}, b"\0" * 16), "'f32'"),
    "F4": (container({"a": entry([3], 0, 1, "F4")}, b"\0"), "'F4'"),
    "float8": (container({"a": entry([3], 0, 3, "F8_E4M3")}, b"\0" * 3), "'F8_E4M3'"),
    "extra field": (container({"a": {**entry([4], 0, 16), "run": "x"}}, b"\0" * 16), "description of a"),
    "number for tensor": (container({"a": 1}, b"\0" * 16), "description of a"),
    "NUL in name": (container({"a\0b": entry([4], 0, 16)}, b"\0" * 16), "not a name"),
    "empty name": (container({"": entry([4], 0, 16)}, b"\0" * 16), "not a name"),
    "path as name": (container({"../../etc/passwd": entry([4], 0, 16)}, b"\0" * 16), "not a name"),
    "dots as name": (container({"..": entry([4], 0, 16)}, b"\0" * 16), "not a name"),
    "1 MB name": (container({"a" * 1_000_000: entry([4], 0, 16)}, b"\0" * 16), "not a name"),
    "number in metadata": (container({"__metadata__": {"a": 1}}, b"\0" * 16), "metadata"),
    "metadata is a list": (container({"__metadata__": [], "a": entry([4], 0, 16)}, b"\0" * 16), "metadata"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_SAFETENSORS)
def test_bad_safetensors(case: str, tmp_path: Path) -> None:
    data, reason = BAD_SAFETENSORS[case]
    assert reason in refused(written(tmp_path / "model.safetensors", data))


def test_duplicate_names(tmp_path: Path) -> None:
    one = json.dumps(entry([1], 0, 4))
    data = container(f'{{"a": {one}, "b": {one}, "a": {one}}}'.encode(), b"\0" * 4)
    assert "two entries called a" in refused(written(tmp_path / "m.safetensors", data))


def test_duplicate_fields(tmp_path: Path) -> None:
    data = container(b'{"a":{"dtype":"F32","shape":[1],"shape":[2],"data_offsets":[0,4]}}', b"\0" * 4)
    assert "two entries" in refused(written(tmp_path / "m.safetensors", data))


def test_very_many_tensors_are_refused_before_parsing(tmp_path: Path) -> None:
    parts = ",".join(
        f'"t{i}":{{"dtype":"U8","shape":[1],"data_offsets":[{i},{i + 1}]}}' for i in range(120_000)
    )
    path = written(tmp_path / "m.safetensors", container(f"{{{parts}}}".encode(), b"\0" * 120_000))
    assert "20,000 tensors" in refused(path)


def test_a_late_duplicate_costs_little(tmp_path: Path) -> None:
    names = ",".join(f'"k{i}":0' for i in range(150_000))
    raw = f'{{"a":{{{names},"k149999":0}}}}'.encode()
    assert "two entries called k149999" in refused(written(tmp_path / "m.safetensors", container(raw)))


@pytest.mark.parametrize("filler", [b'"', b"[],", b"{},", b'"\\"', b"1,", b'"":0,'])
def test_dense_headers_cost_little(filler: bytes, tmp_path: Path) -> None:
    raw = b'{"a":[' + filler * (7_900_000 // len(filler))
    refused(written(tmp_path / "m.safetensors", container(raw)))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weights_that_are_no_numbers(value: float, dtype: torch.dtype, tmp_path: Path) -> None:
    bad = torch.ones(6, dtype=dtype)
    bad[[1, 4]] = value
    save_file({"fine": torch.ones(3), "layer.bad": bad}, tmp_path / "m.safetensors")
    assert "2 of the 6 weights of layer.bad are NaN or infinite" in refused(tmp_path / "m.safetensors")


@FUZZ
@given(data=st.data())
def test_mutated_safetensors(data: st.DataObject, tmp_path: Path) -> None:
    """Any damage is refused with a typed error, or leaves a readable file."""
    raw = bytearray(save(WEIGHTS))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)) | st.just(len(raw)))
    path = written(tmp_path / "m.safetensors", bytes(raw[:cut]))
    try:
        read_state_dict(path)
    except ModelFileError as error:
        assert str(error).isprintable() and str(tmp_path) not in str(error)


@FUZZ
@given(
    shape=st.lists(st.integers(-1, 2**65), max_size=4),
    offsets=st.lists(st.integers(-5, 2**65) | st.floats(), max_size=3),
    dtype=st.sampled_from(["F32", "F16", "I8", "BOOL", "X", ""]) | st.none(),
    name=st.text(max_size=5),
)
def test_invented_headers(
    shape: list[int], offsets: list[float], dtype: str | None, name: str, tmp_path: Path
) -> None:
    header = {name: {"dtype": dtype, "shape": shape, "data_offsets": offsets}}
    path = written(tmp_path / "m.safetensors", container(header, b"\0" * 16))
    try:
        (tensor,) = read_state_dict(path).values()
        assert list(tensor.shape) == shape
    except ModelFileError as error:
        assert str(error).isprintable()


# --- what is no checkpoint ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "Git-LFS pointer"),
        (b"<!DOCTYPE html><html>login</html>", "web page"),
        (b"\n  <html>", "web page"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "old format"),
        (pickle.dumps({"a": 1}, 4), "old format"),
        (pickle.dumps({"a": 1}, 0), "old format"),
        (pickle.dumps([1], 1), "old format"),
        (b'{"weight_map": {}}' + b" " * 30, "JSON"),
        (b"GGUF" + b"\0" * 40, "GGUF"),
        (b"\x1f\x8b\x08" + b"\0" * 40, "gzip"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "picture"),
        (b"\0" * 5000, "not a checkpoint"),
    ],
)
@pytest.mark.parametrize("name", ["m.safetensors", "m.ckpt"])
def test_other_kinds_of_files(data: bytes, reason: str, name: str, tmp_path: Path) -> None:
    message = refused(written(tmp_path / name, data))
    assert reason in message and message.startswith(name)


def test_only_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ckpt")
    assert "not a file" in refused(tmp_path / "pipe.ckpt")
    assert "not a file" in refused(tmp_path)
    assert "not a file" in refused(Path("/dev/zero"))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        assert "not a file" in refused(tmp_path / "s")
    assert "no such file" in refused(tmp_path / "missing.ckpt")
    assert "unusable name" in refused(tmp_path / "a\0b.ckpt")


def test_larger_than_memory(tmp_path: Path) -> None:
    path = written(tmp_path / "m.safetensors", container({"a": entry([1], 0, 4)}, b"\0" * 4))
    try:
        os.truncate(path, 9 * 10**12)
    except OSError:
        pytest.skip("this file system has no sparse files of 9 TB")
    assert "9.0 TB" in refused(path)


def test_odd_file_names_stay_on_one_line(tmp_path: Path) -> None:
    assert "a?b<i>.ckpt" in refused(written(tmp_path / "a\nb<i>.ckpt", b"x" * 50))


# --- zip checkpoints ---------------------------------------------------------------------------------


def archive(
    pickled: bytes, *, root: str = "archive", members: dict[str, bytes] | None = None, method: int = 0
) -> bytes:
    """A checkpoint archive around any pickle."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in {"data.pkl": pickled, "version": b"3\n", **(members or {})}.items():
            file.writestr(f"{root}/{name}", data)
    return out.getvalue()


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


def big(count: int) -> bytes:
    return b"\x80\x02" + b"]" * count + b"."


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


def tensor_pickle(numel: str, offset: str, shape: str, stride: str, key: str = "0") -> bytes:
    """A state dict with one tensor, in the text opcodes' place: numbers are given as pickled bytes."""
    numbers = {
        "": b")",
        "1": b"K\x01\x85",
        "4": b"K\x04\x85",
        "0": b"K\x00\x85",
        "-1": b"J\xff\xff\xff\xff\x85",
    }
    numbers |= {"2^40": b"\x8a\x06" + (1 << 40).to_bytes(6, "little") + b"\x85", "True": b"\x88\x85"}

    def plain(text: str) -> bytes:
        return numbers[text][:-1]

    return (
        b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage"
        b"ctorch\nFloatStorage\nX" + struct.pack("<I", len(key)) + key.encode() + b"X\x03\x00\x00\x00cpu"
        + plain(numel) + b"tQ" + plain(offset) + numbers[shape] + numbers[stride]
        + b"\x89ccollections\nOrderedDict\n)RtRs."
    )  # fmt: skip


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


def good_archive() -> bytes:
    return archive(tensor_pickle("4", "0", "4", "1"), members={"data/0": struct.pack("<4f", 1, 2, 3, 4)})


def test_compressed_archives(tmp_path: Path) -> None:
    bomb = archive(b"\x80\x02X" + struct.pack("<I", 900_000_000 // 9) + b"a" * 100_000_000 + b".", method=8)
    assert len(bomb) < 1_000_000 and "compressed" in refused(written(tmp_path / "m.ckpt", bomb))


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"data/../../../etc/x": b""}, "unsafe name"),
        ({"/etc/x": b""}, "unsafe name"),
        ({"a\\b": b""}, "unsafe name"),
        ({"c:x": b""}, "unsafe name"),
        ({"./x": b""}, "unsafe name"),
        ({"\x1b[0m": b""}, "unsafe name"),
        ({"byteorder": b"big"}, "big-endian"),
    ],
)
def test_members(members: dict[str, bytes], reason: str, tmp_path: Path) -> None:
    assert reason in refused(written(tmp_path / "m.ckpt", archive(pickle.dumps({}, 2), members=members)))


def _second_root(data: bytes) -> bytes:
    out = io.BytesIO(data)
    with zipfile.ZipFile(out, "a") as file:
        file.writestr("other/data.pkl", b"")
    return out.getvalue()


def _twice(data: bytes) -> bytes:
    out = io.BytesIO(data)
    with zipfile.ZipFile(out, "a") as file, pytest.warns(UserWarning):
        file.writestr("archive/data.pkl", pickle.dumps({}))
    return out.getvalue()


def _central(data: bytes) -> int:
    return data.index(b"PK\x01\x02")


def _patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def _zip64(data: bytes, count: int) -> bytes:
    """As `data`, with a ZIP64 record that counts `count` entries."""
    end = len(data) - 22
    *_, size, offset, _ = struct.unpack("<4s4H2IH", data[end:])
    record = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    return data[:end] + record + locator + data[end:]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "two roots": _second_root,
    "data.pkl twice": _twice,
    "wrong checksum of the data": lambda d: d.replace(
        struct.pack("<4f", 1, 2, 3, 4), struct.pack("<4f", 1, 2, 3, 5)
    ),
    "wrong checksum of data.pkl": lambda d: d.replace(b"X\x01\x00\x00\x00w", b"X\x01\x00\x00\x00v", 1),
    "encrypted flag": lambda d: _patched(d, _central(d) + 8, b"\x01\x00"),
    "other method in the central directory": lambda d: _patched(d, _central(d) + 10, b"\x08\x00"),
    "other method in the local header": lambda d: _patched(d, 8, b"\x08\x00"),
    "other name in the local header": lambda d: _patched(d, 30, b"b"),
    "other size in the local header": lambda d: _patched(d, 18, b"\x01\x00"),
    "local header elsewhere": lambda d: _patched(d, _central(d) + 42, b"\x01"),
    "size in the central directory": lambda d: _patched(
        d, _central(d) + 20, b"\xff\xff\x00\x00\xff\xff\x00\x00"
    ),
    "sentinel size without zip64": lambda d: _patched(d, _central(d) + 20, b"\xff" * 8),
    "zip64 miscounts": lambda d: _zip64(d, 7),
    "zip64 record not at its place": lambda d: _patched(_zip64(d, 3), len(d) - 22 + 56 + 8, b"\x00"),
    "comment": lambda d: d[:-2] + b"\x02\x00hi",
    "bytes behind the end": lambda d: d + b"\0",
    "bytes before the start": lambda d: b"PK\x03\x04" + d,
    "count of entries": lambda d: _patched(d, len(d) - 14, b"\x02\x00\x02\x00"),
    "no entries": lambda d: _patched(d, len(d) - 14, b"\x00\x00\x00\x00"),
    "directory offset": lambda d: _patched(d, len(d) - 6, b"\x00\x00\x00\x00"),
    "other disk": lambda d: _patched(d, len(d) - 18, b"\x01\x00"),
    "half of the file": lambda d: d[: len(d) // 2],
    "only a signature": lambda d: b"PK\x03\x04",
    "end record cut": lambda d: d[:-5],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_archives(damage: str, tmp_path: Path) -> None:
    good = good_archive()
    assert read_state_dict(written(tmp_path / "good.ckpt", good))["w"].tolist() == [1, 2, 3, 4]
    assert read_state_dict(written(tmp_path / "wide.ckpt", _zip64(good, 3)))["w"].tolist() == [1, 2, 3, 4]
    broken = DAMAGES[damage](good)
    assert broken != good
    refused(written(tmp_path / "m.ckpt", broken))


def test_packed_downloads_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.ckpt", "w") as file:
        file.writestr("model.ckpt", b"x")
        file.writestr("readme.txt", b"x")
    assert "model.ckpt in it; unpack" in refused(tmp_path / "m.ckpt")


@FUZZ
@given(data=st.data())
def test_mutated_archives(data: st.DataObject, tmp_path: Path) -> None:
    """A changed byte is refused, or changes nothing that is read."""
    raw = bytearray(good_archive())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        got = read_state_dict(written(tmp_path / "m.ckpt", bytes(raw)))
        assert got["w"].tolist() == [1, 2, 3, 4]
    except ModelFileError as error:
        assert str(error).isprintable() and str(tmp_path) not in str(error)


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


def test_a_file_cut_short_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading ends with a message, not with a signal."""
    from ldm_core.formats.files import RegularFile

    path = tmp_path / "m.safetensors"
    save_file({"a": torch.ones(500_000), "b": torch.ones(500_000)}, path)
    read = RegularFile.tensor

    def cut_then_read(self: RegularFile, *arguments: object, **options: object) -> torch.Tensor:
        os.truncate(path, 1_500_000)
        return read(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(RegularFile, "tensor", cut_then_read)
    assert "ends after 1.5 MB" in refused(path)


def test_memory_of_hostile_files_is_bounded(tmp_path: Path) -> None:
    """The worst of the files above grow a process by less than 256 MB."""
    resource = pytest.importorskip("resource")
    files = [
        written(tmp_path / "a.ckpt", archive(big(499_000))),
        written(tmp_path / "b.ckpt", archive(b"\x80\x02" + b"}NNs0" * 99_000 + b"N.")),
        written(tmp_path / "c.safetensors", container(b'{"a":[' + b"1," * 3_900_000)),
        written(tmp_path / "d.ckpt", archive(big(15_900_000))),
        written(tmp_path / "e.safetensors", container(b'{"a":{' + b'"":0,' * 1_500_000)),
    ]
    code = (
        "import resource, sys, torch; from pathlib import Path\n"
        "from ldm_core.formats.reading import read_state_dict\n"
        "from ldm_core.errors import ModelFileError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for name in sys.argv[1:]:\n"
        "    try: read_state_dict(Path(name)); sys.exit('loaded')\n"
        "    except ModelFileError: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    assert resource is not None
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code, *files], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 256_000, f"{done.stdout} kB"
