"""Section H: clocks, databases, folders and limits of the system."""

from __future__ import annotations

import datetime
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from gradio.utils import get_upload_folder

from app.keeping import library as library_module
from app.keeping.library import Library
from app.web.server import Running
from ldm_core.request import TextToImage
from tests import tiny
from tests.faults.conftest import SMALL, Asking, outputs_of, png

Guest = Callable[[int], Asking]
ROOT = Path(__file__).resolve().parents[2]
RUN = "import sys; from app.commands.cli import main; sys.exit(main(sys.argv[1:]))"


def test_h02_a_database_without_room(program: Running, guest: Guest) -> None:
    """SQLite's own word for a full disk: pictures are saved, rows are whole or absent, and come later."""
    history = program.studio.history
    assert history is not None
    writer = history._database._writer
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count = {pages}")
    before = set(outputs_of(program).rglob("*.png"))
    asking = guest(80)
    answers = [asking.call({**SMALL, "seed": seed, "prompt": "a lake " * 500}) for seed in range(12)]
    writer.execute("PRAGMA max_page_count = 1073741823")
    assert all(answer.kind == "complete" for answer in answers)
    assert all(answer.data[0]["saved"] == [True] for answer in answers)  # type: ignore[index]
    assert len(set(outputs_of(program).rglob("*.png")) - before) == 12
    assert asking.call({**SMALL, "seed": 99}).kind == "complete"
    with history._database.reading() as rows:
        assert rows.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_h12_clocks_that_jump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library, request = Library(tmp_path), TextToImage(prompt="snow")
    saved = []
    for text in ("2026-05-02", "2026-05-01", "1970-01-01", "2026-05-02") * 2:
        day = datetime.date.fromisoformat(text)
        fixed = type("Fixed", (datetime.date,), {"today": classmethod(lambda _, day=day: day)})
        monkeypatch.setattr(library_module, "date", fixed)
        saved.append(library.save(png(), request))
    assert len(set(saved)) == len(saved) and all(path.read_bytes() == png() for path in saved)
    assert sorted(path.name for path in saved if path.parent.name == "2026-05-02") == [
        path.name for path in saved if path.parent.name == "2026-05-02"
    ]


def test_h16_the_folder_of_uploads_is_deleted_while_it_runs(program: Running, guest: Guest) -> None:
    asking = guest(81)
    assert asking.upload("a.png", png()).status_code == 200
    shutil.rmtree(get_upload_folder())
    assert asking.call(SMALL).kind == "complete"
    (path,) = asking.upload("a.png", png()).json()
    request = {**SMALL, "task": "image-to-image", "image": {"path": path}}
    del request["width"], request["height"]
    assert asking.call(request).kind == "complete"


def test_h18_few_descriptors_no_home_no_shared_memory(tmp_path: Path) -> None:
    tiny.write_model(tmp_path / "models")
    (tmp_path / "request.json").write_text(json.dumps(SMALL))
    env = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_DATA_HOME")}
    done = subprocess.run(
        [
            sys.executable, "-c", RUN, "generate", str(tmp_path / "request.json"),
            f"--out={tmp_path / 'out'}", f"--models-dir={tmp_path / 'models'}", "--device=cpu",
        ],
        cwd=ROOT,
        env={**env, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)),
    )  # fmt: skip
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert len(list((tmp_path / "out").glob("*.png"))) == 1
