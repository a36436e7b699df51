"""Safetensors files from strangers: what is honest loads, everything else is refused in one sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from ldm_core.errors import ModelFileError
from ldm_core.formats.reading import read_state_dict
from tests.checkpoints import BAD_SAFETENSORS, FUZZ, WEIGHTS, container, entry, refused, same, written


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


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_float8_is_read_as_it_is(dtype: torch.dtype, tmp_path: Path) -> None:
    weights = torch.tensor([[1.0, -0.5], [0.25, 0.0]]).to(dtype)
    save_file({"w": weights}, tmp_path / "m.safetensors")
    read = read_state_dict(tmp_path / "m.safetensors")["w"]
    assert torch.equal(read.float(), weights.float())


def test_result_does_not_depend_on_the_file(tmp_path: Path) -> None:
    """Nothing is mapped: cutting the file short afterwards neither kills nor changes anything."""
    path = tmp_path / "m.safetensors"
    save_file({"w": torch.ones(1_000_000)}, path)
    weights = read_state_dict(path)
    os.truncate(path, 10)
    assert float(weights["w"].sum()) == 1_000_000


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
