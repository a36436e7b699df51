"""`launch.py history`."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from app.commands.cli import main
from app.keeping.history import OWNER, History
from tests.test_history import save


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    history = History(tmp_path / "outputs")
    save(history, "a lake", 1)
    hill = save(history, "a hill", 2, model="other")
    save(history, "their sea", 3, person="guest-1")
    history.boards.put(OWNER, history.boards.make(OWNER, "Good"), [hill.id])
    history.close()
    return history.folder


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main(["history", *map(str, arguments)])
    return status, *capsys.readouterr()


def test_search(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "search", "--outputs", outputs)
    assert status == 0 and [line.rpartition("  ")[2] for line in out.splitlines()] == ["a hill", "a lake"]
    _, out, _ = run(capsys, "search", "lake", "--outputs", outputs, "--json")
    (entry,) = json.loads(out)
    assert entry["prompt"] == "a lake" and Path(entry["path"]).is_file()
    for options, count in (
        (["--model", "other"], 1),
        (["--board", "Good"], 1),
        (["--person", "all"], 3),
        (["--since", "2999-01-01"], 0),
        (["--person", "all", "--limit", 2], 2),
    ):
        assert len(run(capsys, "search", *options, "--outputs", outputs)[1].splitlines()) == count
    status, _, error = run(capsys, "search", "--board", "Bad", "--outputs", outputs)
    assert status == 1 and "Good" in error


def test_export(outputs: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "all.zip"
    arguments = ["--outputs", outputs, "--out", out, "--carries", "nothing", "--format", "jpeg"]
    status, said, _ = run(capsys, "export", *arguments)
    assert status == 0 and said == f"2 pictures are in {out}.\n"
    with zipfile.ZipFile(out) as archive:
        assert all(name.endswith(".jpg") for name in archive.namelist())
    assert run(capsys, "export", "nowhere", *arguments)[0] == 1
    assert run(capsys, "export", "--outputs", outputs, "--out", tmp_path / "no" / "x.zip")[0] == 1
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["all.zip"]


def test_rebuild(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    next(outputs.glob("2*/*lake.png")).unlink()
    (outputs / "text.png").write_text("no picture")
    status, out, _ = run(capsys, "rebuild", "--outputs", outputs)
    assert (status, out) == (0, "2 pictures.\nNo picture that can be read: 1.\n")
