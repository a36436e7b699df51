"""The zip archives that checkpoints are: only what torch writes is read."""

from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldm_core.errors import ModelFileError
from ldm_core.formats.reading import read_state_dict
from tests.checkpoints import DAMAGES, FUZZ, archive, good_archive, refused, written, zip64


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


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_archives(damage: str, tmp_path: Path) -> None:
    good = good_archive()
    assert read_state_dict(written(tmp_path / "good.ckpt", good))["w"].tolist() == [1, 2, 3, 4]
    assert read_state_dict(written(tmp_path / "wide.ckpt", zip64(good, 3)))["w"].tolist() == [1, 2, 3, 4]
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
