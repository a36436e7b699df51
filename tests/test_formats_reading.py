"""What is no checkpoint at all is refused in one sentence; hostile files take little memory."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkpoints import archive, big, container, entry, refused, written


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
