"""Section H: disks, ports, networks and endings."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from app.commands.generate import generate
from app.keeping.database import Database
from app.keeping.library import OWNER, Library
from app.keeping.scratch import LOCK, PREFIX, scratch_folder, sweep
from app.studio.queue import MIGRATIONS, Queue
from app.web.server import Running
from ldm_core.errors import FileError
from ldm_core.request import TextToImage, parse_request
from tests import tiny
from tests.browser import free_port
from tests.faults.conftest import SMALL, Asking

Guest = Callable[[int], Asking]
ROOT = Path(__file__).resolve().parents[2]
RUN = "import sys; from app.commands.cli import main; sys.exit(main(sys.argv[1:]))"


def test_h01_h03_where_nothing_can_be_saved_a_call_fails_before_it_is_made(
    program: Running, guest: Guest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    library = program.studio._library
    assert library is not None
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(library, "folder", tmp_path / "file" / "outputs")
    steps = program.studio.engine().figures().steps
    answer = guest(1).call(SMALL)
    assert answer.kind == "error" and "cannot be saved" in answer.text and "--outputs" in answer.text
    assert program.studio.engine().figures().steps == steps


def test_h01_h03_the_page_says_so_before_it_computes_and_keeps_what_waits(
    program: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    studio, request = program.studio, parse_request({**SMALL, "steps": 100})
    library, page = studio._library, studio.page(OWNER, "a page of the owner's")
    assert library is not None
    (tmp_path / "file").write_text("in the way")
    with monkeypatch.context() as patch:
        patch.setattr(library, "folder", tmp_path / "file" / "outputs")
        with pytest.raises(FileError, match="cannot be saved"):
            studio.jobs.add(page.person, [request])
    assert studio.jobs.open(page.person) == 0
    # The disk fills while jobs wait.
    items = [studio.jobs.add(page.person, [replace(request, seed=seed)]) for seed in range(3)]
    wait_until(lambda: studio.engine().figures().running == 1)
    steps = studio.engine().figures().steps
    with monkeypatch.context() as patch:
        patch.setattr(library, "folder", tmp_path / "file" / "outputs")
        studio.jobs.cancel(page.person, items[0].id)
        wait_until(lambda: page.person.runner is None)
    found = {item.id: item for item in studio.jobs.queue.items(OWNER)}
    assert [found[item.id].state for item in items] == ["stopped", "failed", "waiting"]
    assert "cannot be saved" in found[items[1].id].said
    assert studio.engine().figures().steps <= steps + 100
    studio.jobs.cancel_all(page.person)
    studio.jobs.pause_queue(page.person, paused=False)


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_h01_a_picture_waits_until_it_can_be_saved(
    program: Running, guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = program.studio._library
    assert library is not None
    real, full = Library.save, True

    def save(self: Library, png: bytes, request: TextToImage, person: str = "owner") -> Path:
        if full:
            raise FileError("The picture could not be saved (No space left on device).")
        return real(self, png, request, person)

    monkeypatch.setattr(Library, "save", save)
    answer = guest(2).call(SMALL)
    (made,) = answer.data  # type: ignore[misc]
    assert answer.kind == "complete" and made["saved"] == [False]
    assert "No space left" in " ".join(made["notes"])
    unsaved = program.studio._making.unsaved
    unsaved.again()
    assert len(unsaved._waiting) == 1
    before = set(library.folder.rglob("*.png"))
    full = False
    unsaved.again()
    (saved,) = set(library.folder.rglob("*.png")) - before
    assert saved.read_bytes()[:4] == b"\x89PNG" and not unsaved._waiting


def test_h03_generate_says_so_before_it_computes(tmp_path: Path) -> None:
    tiny.write_model(tmp_path / "models")
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "request.json").write_text(json.dumps(SMALL))
    command = [sys.executable, "-c", RUN, "generate", str(tmp_path / "request.json"), "--out"]
    done = subprocess.run(
        [*command, str(tmp_path / "file" / "x"), f"--models-dir={tmp_path / 'models'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1 and "cannot be saved" in done.stderr and "step" not in done.stderr


def test_h03_what_generate_cannot_save_any_more_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.write_model(tmp_path / "models")
    (tmp_path / "request.json").write_text(json.dumps(SMALL))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "elsewhere"))
    real = Library.save

    def save(self: Library, png: bytes, request: TextToImage, person: str = "owner") -> Path:
        if self.folder == tmp_path / "out":
            raise FileError("The picture could not be saved (No space left on device).")
        return real(self, png, request, person)

    monkeypatch.setattr(Library, "save", save)
    models = [str(tmp_path / "models")]
    assert generate(str(tmp_path / "request.json"), str(tmp_path / "out"), [], models, "cpu") == 1
    said = capsys.readouterr().err
    (kept,) = (tmp_path / "elsewhere").rglob("*.png")
    assert "No space left" in said and f"kept as {kept}" in said and kept.read_bytes()[:4] == b"\x89PNG"


def test_h04_what_a_killed_run_left_is_swept(tmp_path: Path) -> None:
    holds = "import sys, time; from app.keeping.scratch import scratch_folder; from pathlib import Path\n"
    holds += "with scratch_folder(Path(sys.argv[1])) as f:\n    (f / 'big').write_bytes(b'x' * 10**6)\n"
    holds += "    print(f, flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", holds, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    left = Path(process.stdout.readline().strip())
    assert sweep(tmp_path) == 0 and left.is_dir(), "it is in use"
    other = tmp_path / f"{PREFIX}of-somebody-else"
    other.mkdir()
    process.kill()
    process.wait()
    with scratch_folder(tmp_path) as own:
        assert not left.exists() and (own / LOCK).is_file() and other.is_dir()
    assert not own.exists()


def test_h06_two_programs_write_one_history(tmp_path: Path) -> None:
    writes = "import sys; from pathlib import Path; from app.keeping.database import Database\n"
    writes += "d = Database(Path(sys.argv[1]), ('CREATE TABLE t (x);',))\n"
    writes += (
        "for i in range(1000):\n    with d.writing() as rows: rows.execute('INSERT INTO t VALUES (?)', [i])\n"
    )
    file = tmp_path / "both.sqlite"
    both = [subprocess.Popen([sys.executable, "-c", writes, str(file)], cwd=ROOT) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    database = Database(file, ("CREATE TABLE t (x);",))
    with database.reading() as rows:
        assert rows.execute("SELECT COUNT(*) FROM t").fetchone()[0] == 2000
    database.close()
    assert MIGRATIONS


def test_h13_a_second_program_on_the_folder_keeps_its_hands_off_the_queue(tmp_path: Path) -> None:
    first, second = Queue(tmp_path), Queue(tmp_path)
    first.open()
    second.open()
    assert not first.notice and "already runs" in second.notice
    first.close()


def serve(
    tmp_path: Path, *arguments: str, env: dict[str, str] | None = None
) -> tuple[subprocess.Popen[str], int]:
    """The program as it is started; with a tiny model."""
    if not (tmp_path / "models").exists():
        tiny.write_model(tmp_path / "models")
    port = free_port()
    command = [
        sys.executable,
        "-c",
        RUN,
        "run",
        "--no-browser",
        f"--port={port}",
        f"--outputs={tmp_path / 'out'}",
        f"--models-dir={tmp_path / 'models'}",
        "--device=cpu",
        *arguments,
    ]
    environment = {**os.environ, "ATELIER_DATA": str(tmp_path / "data"), **(env or {})}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return process, port


def is_up(process: subprocess.Popen[str], address: str) -> dict[str, str]:
    """Waits until the program answers."""
    deadline = time.monotonic() + 120
    with httpx.Client(trust_env=False, timeout=10) as web:
        while True:
            assert process.poll() is None, process.stdout and process.stdout.read()
            try:
                return dict(web.get(f"{address}/health").json())
            except httpx.HTTPError:
                assert time.monotonic() < deadline
                time.sleep(0.1)


def ended(process: subprocess.Popen[str]) -> str:
    """Ends it as the system does; what it printed."""
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM, said
    return str(said)


def refusing_proxy() -> tuple[ThreadingHTTPServer, int]:
    """A proxy that answers 502 to whatever it is asked."""

    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(502)

        do_HEAD = do_POST = do_CONNECT = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, server.server_address[1]


@pytest.mark.parametrize("kind", ["dead", "502", "socks"])
def test_h_starting_in_a_network_with_a_proxy(tmp_path: Path, kind: str) -> None:
    server, port = refusing_proxy()
    address = {
        "dead": "http://127.0.0.1:9",
        "502": f"http://127.0.0.1:{port}",
        "socks": "socks5://127.0.0.1:9",
    }[kind]
    env = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "ALL_PROXY"), address)
    process, port = serve(tmp_path, env=env)
    assert is_up(process, f"http://127.0.0.1:{port}")["status"] in ("ok", "starting")
    assert "Traceback" not in ended(process)
    server.shutdown()


def test_h_starting_on_ipv6_and_printing_an_address_that_can_be_opened(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_INET6)) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this computer has no IPv6")
    process, port = serve(tmp_path, "--host=::1")
    is_up(process, f"http://[::1]:{port}")
    assert f"http://[::1]:{port}" in ended(process)
    process, port = serve(tmp_path, "--host=0.0.0.0")
    is_up(process, f"http://127.0.0.1:{port}")
    said = ended(process)
    assert "http://0.0.0.0" not in said and f"http://127.0.0.1:{port}" in said
    assert "assword is" not in said, "what lets somebody in is not in a log"
    kept = tmp_path / "data" / "ways-in.txt"
    assert kept.stat().st_mode & 0o777 == 0o600 and "?owner=" in kept.read_text()


def test_h14_ending_while_a_job_runs(tmp_path: Path) -> None:
    process, port = serve(tmp_path)
    address = f"http://127.0.0.1:{port}"
    while is_up(process, address)["status"] != "ok":
        time.sleep(0.2)
    body = {"data": [{**SMALL, "steps": 250, "batch_size": 16}]}
    with httpx.Client(trust_env=False, timeout=30) as web:
        assert web.post(f"{address}/gradio_api/call/generate", json=body).status_code == 200
        began = time.monotonic()
        said = ended(process)
    assert time.monotonic() - began < 15 and "Traceback" not in said, said
    assert not list((tmp_path / "out").rglob("*.part"))
    log = [json.loads(line) for line in (tmp_path / "data" / "log.jsonl").read_text().splitlines()]
    assert all({"time", "level", "in", "said"} <= line.keys() for line in log)
    assert "snow" not in json.dumps(log)


def test_h13_a_port_in_use_is_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-c", RUN, "run", "--no-browser", f"--port={taken.getsockname()[1]}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1 and "another program has it" in done.stderr and "Traceback" not in done.stderr
