"""Saved pictures: safe names, nothing overwritten, nothing half-written."""

from __future__ import annotations

import errno
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.keeping.library import Library, slug
from app.keeping.metadata import encode_png
from ldm_core.errors import FileError
from ldm_core.request import TextToImage
from tests.test_metadata import PIXELS

ROOT = Path(__file__).resolve().parent.parent
PNG = encode_png(PIXELS, TextToImage())


def parts(folder: Path) -> list[Path]:
    return list(folder.rglob(".*.part"))


def test_names_and_folders(tmp_path: Path) -> None:
    library = Library(tmp_path / "new" / "outputs")
    request = TextToImage(prompt="Snowy mountains, at noon!", seed=12)
    first, second = library.save(PNG, request), library.save(PNG, TextToImage())
    assert first.parent == tmp_path / "new" / "outputs" / date.today().isoformat()
    assert first.name == "00001-12-snowy-mountains-at-noon.png"
    assert second.name == "00002-0.png"
    assert first.read_bytes() == PNG
    assert not parts(tmp_path)


@given(st.text())
def test_slugs_are_safe_names_everywhere(prompt: str) -> None:
    words = slug(prompt)
    assert len(words.encode()) <= 80
    assert words == words.strip("-. ")
    assert not set(words) & set('/\\:*?"<>|.\0\n ')
    assert all(character.isprintable() for character in words)


@pytest.mark.parametrize(
    "prompt", ["../../etc/passwd", "CON", "a" * 300, "ends with dot.", "\u202egnp", "山水 画" * 40]
)
def test_awkward_prompts_are_saved(tmp_path: Path, prompt: str) -> None:
    path = Library(tmp_path, dated=False).save(PNG, TextToImage(prompt=prompt))
    assert path.parent == tmp_path
    assert len(path.name.encode()) < 200
    assert path.read_bytes() == PNG


def test_numbers_go_on_and_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "00041-7.png").write_bytes(b"mine")
    (tmp_path / ".00042.part").write_bytes(b"of a dead writer")
    (tmp_path / "holiday.png").write_bytes(b"mine too")
    path = Library(tmp_path, dated=False).save(PNG, TextToImage(seed=7))
    assert path.name == "00043-7.png"
    assert (tmp_path / "00041-7.png").read_bytes() == b"mine"


def test_many_writers_at_once(tmp_path: Path) -> None:
    def write() -> None:
        for _ in range(15):
            Library(tmp_path, dated=False).save(PNG, TextToImage(seed=1))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = sorted(path.name[:5] for path in tmp_path.glob("*.png"))
    assert len(numbers) == 60
    assert len(set(numbers)) == 60
    assert not parts(tmp_path)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int, _content: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(FileError, match="No space left"):
        Library(tmp_path, dated=False).save(PNG, TextToImage())
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileError):
        Library(tmp_path / "file").save(PNG, TextToImage())
    assert Library(tmp_path / "file").sweep() == 0


def test_a_save_reaches_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("fsync", "rename"):
        real = getattr(os, name)

        def noted(*arguments: object, real: object = real, name: str = name) -> object:
            calls.append(name)
            return real(*arguments)  # type: ignore[operator]

        monkeypatch.setattr(os, name, noted)
    Library(tmp_path, dated=False).save(PNG, TextToImage())
    assert calls == ["fsync", "rename", "fsync"]


def test_the_sweep_spares_living_writers(tmp_path: Path) -> None:
    from app.keeping.library import _reserve

    _, held_path, held = _reserve(tmp_path)
    (tmp_path / ".00077.part").write_bytes(b"x")
    (tmp_path / ".notes.part").write_bytes(b"not ours")
    assert Library(tmp_path).sweep() == 1
    assert sorted(parts(tmp_path)) == sorted([held_path, tmp_path / ".notes.part"])
    os.close(held)
    assert Library(tmp_path).sweep() == 1


SAVE_FOR_EVER = """
import sys
from pathlib import Path
from app.keeping.library import Library
from ldm_core.request import TextToImage
library = Library(Path(sys.argv[1]), dated=False)
png = Path(sys.argv[2]).read_bytes()
print("ready", flush=True)
while True:
    library.save(png, TextToImage(prompt="a lake"))
"""


def test_killed_at_any_moment_every_picture_is_whole(tmp_path: Path) -> None:
    noise = Image.effect_noise((400, 400), 80)
    file = io.BytesIO()
    noise.save(file, "PNG")
    (tmp_path / "source").write_bytes(file.getvalue())
    out = tmp_path / "out"
    for _ in range(6):
        arguments = [sys.executable, "-c", SAVE_FOR_EVER, str(out), str(tmp_path / "source")]
        writer = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(random.uniform(0.02, 0.2))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    pictures = list(out.glob("*.png"))
    assert pictures
    assert all(path.read_bytes() == file.getvalue() for path in pictures)
    Library(out).sweep()
    assert not parts(out)
