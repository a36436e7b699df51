"""The launcher: what it decides before any package is there."""

from __future__ import annotations

import ast
import http.server
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import threading
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """launch.py as a module, with a .venv and requirements of its own in a temporary folder."""
    spec = importlib.util.spec_from_file_location("launch_under_test", ROOT / "launch.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "requirements.txt").write_text("torch==2.13.0\n")
    (tmp_path / "requirements-dev.txt").write_text("-r requirements.txt\npytest\n")
    (tmp_path / ".venv").mkdir()
    for name, value in (
        ("ROOT", tmp_path),
        ("VENV", tmp_path / ".venv"),
        ("REQUIREMENTS", tmp_path / "requirements.txt"),
        ("DEV_REQUIREMENTS", tmp_path / "requirements-dev.txt"),
    ):
        monkeypatch.setattr(module, name, value)
    monkeypatch.delenv("ATELIER_INSIDE", raising=False)
    return module


def test_it_needs_the_standard_library_only() -> None:
    tree = ast.parse((ROOT / "launch.py").read_text())
    names = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    names |= {
        node.module.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
    }
    assert names - {"app"} <= sys.stdlib_module_names


def test_an_old_python_gets_a_sentence() -> None:
    source = (ROOT / "launch.py").read_text()
    check = source[: source.index("import hashlib")].replace("sys.version_info", "(3, 8, 0)")
    ast.parse(check, feature_version=(3, 4))
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 1
    assert "needs Python 3.10 or newer; this is Python 3.8" in done.stderr


def test_the_second_start_runs_no_pip(launch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(launch.subprocess, "call", lambda command: calls.append(command) or 0)
    monkeypatch.setattr(launch, "wants_cpu_torch", lambda: False)
    monkeypatch.setattr(launch, "SOME_PACKAGES", ("json",))
    requirements = launch.REQUIREMENTS
    assert not launch.is_installed(requirements)
    launch.install(requirements)
    assert len(calls) == 1
    assert calls[0][-2:] == ["-r", str(requirements)]
    assert launch.is_installed(requirements)
    assert not launch.is_installed(launch.DEV_REQUIREMENTS)
    requirements.write_text("torch==2.14.0\n")
    assert not launch.is_installed(requirements)


def test_packages_that_vanished_are_installed_again(
    launch: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch.stamp_of(launch.REQUIREMENTS).write_text(launch.fingerprint(launch.REQUIREMENTS))
    monkeypatch.setattr(launch, "SOME_PACKAGES", ("json", "no_such_package_here"))
    assert not launch.is_installed(launch.REQUIREMENTS)


def test_a_failed_installation_leaves_no_stamp(
    launch: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    launch.stamp_of(launch.REQUIREMENTS).write_text("old")
    monkeypatch.setattr(launch.subprocess, "call", lambda _command: 1)
    monkeypatch.setattr(launch, "wants_cpu_torch", lambda: False)
    monkeypatch.setattr(launch, "is_inside", lambda: True)
    assert launch.main([]) == 1
    assert "without a network connection" in capsys.readouterr().err.lower()
    assert not launch.stamp_of(launch.REQUIREMENTS).exists()


def test_a_broken_environment_is_seen(launch: ModuleType, tmp_path: Path) -> None:
    assert not launch.is_usable(launch.VENV)  # empty
    python = launch.venv_python(launch.VENV)
    python.parent.mkdir(parents=True)
    python.symlink_to(tmp_path / "gone")
    assert not launch.is_usable(launch.VENV)
    python.unlink()
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    assert not launch.is_usable(launch.VENV)


def test_an_environment_that_never_starts_does_not_loop(
    launch: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATELIER_INSIDE", str(launch.VENV))
    monkeypatch.setattr(launch, "is_usable", lambda _folder: True)
    assert launch.main([]) == 1
    assert "Delete that folder" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(launch: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(launch.LaunchError, match="Could not make"):
        launch.make_venv(tmp_path / "file" / ".venv")


def test_the_pin_of_torch(launch: ModuleType) -> None:
    assert launch.torch_pin() == "torch==2.13.0"


class Index:
    """A package index on this computer; `asked` holds the names of the packages that were looked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: set[str] = set()
        index = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments, directory=str(folder))

            def do_GET(self) -> None:
                index.asked.add(self.path.strip("/").split("/")[0])
                super().do_GET()

            def log_message(self, *_: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def add(self, name: str, *versions: str) -> None:
        (self.folder / name).mkdir(parents=True)
        for version in versions:
            facts = f"{name}-{version}.dist-info"
            with zipfile.ZipFile(self.folder / name / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
                wheel.writestr(
                    f"{facts}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
                )
                wheel.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
                wheel.writestr(f"{facts}/RECORD", "")


@pytest.fixture
def indexes(tmp_path: Path) -> Iterator[tuple[Index, Index]]:
    """Somebody's mirror, and the index of the smaller builds, which has other packages too."""
    mirror, wheels = Index(tmp_path / "mirror"), Index(tmp_path / "wheels")
    mirror.add("torch", "2.13.0")
    mirror.add("plain", "1.0", "2.0")
    wheels.add("torch", "2.13.0+cpu", "2.14.0+cpu")
    wheels.add("plain", "1.5", "9.9")
    yield mirror, wheels
    for index in (mirror, wheels):
        index.server.shutdown()
        index.server.server_close()


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of an environment with pip and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    return str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def installed_with(
    launch: ModuleType,
    python: str,
    mirror: Index,
    cpu_wheels: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> list[str]:
    """What launch.py installs, as `name==version`, where pip is configured to use the mirror."""
    subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", "torch", "plain"], check=True)
    (tmp_path / "constraints.txt").write_text("plain<2\n")
    (tmp_path / "pip.conf").write_text(
        f"[global]\nindex-url = {mirror.url}\nconstraint = {tmp_path / 'constraints.txt'}\nretries = 0\n"
    )
    launch.REQUIREMENTS.write_text("torch==2.13.0\nplain\n")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    # What this computer's own configuration names is not looked at.
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(launch, "CPU_WHEELS", cpu_wheels)
    monkeypatch.setattr(launch, "wants_cpu_torch", lambda: True)
    monkeypatch.setattr(sys, "executable", python)
    launch.install(launch.REQUIREMENTS)
    listed = subprocess.run([python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True)
    return sorted(listed.stdout.split())


def test_pips_own_configuration_stays_as_it_is(
    launch: ModuleType,
    python: str,
    indexes: tuple[Index, Index],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """torch comes from the index of smaller builds, all else from the person's mirror, under constraints."""
    mirror, wheels = indexes
    found = installed_with(launch, python, mirror, wheels.url, tmp_path, monkeypatch)
    assert found == ["plain==1.0", "torch==2.13.0+cpu"]
    assert wheels.asked == {"torch"}
    assert mirror.asked == {"torch", "plain"}


def test_without_the_index_of_the_smaller_builds_the_mirror_gives_torch(
    launch: ModuleType,
    python: str,
    indexes: tuple[Index, Index],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mirror, _ = indexes
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
        found = installed_with(launch, python, mirror, nobody, tmp_path, monkeypatch)
    assert found == ["plain==1.0", "torch==2.13.0"]


def test_a_port_in_use() -> None:
    from app.web.server import choose_port
    from ldm_core.errors import FileError

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(FileError, match=f"Port {port} .* another program"):
            choose_port("127.0.0.1", port)
    assert choose_port("127.0.0.1", port) == port


@pytest.mark.slow
def test_a_real_environment(tmp_path: Path) -> None:
    """A bare copy makes its environment, installs into it, starts, and starts again without pip."""
    for name in ("launch.py", "app", "ldm_core"):
        source = ROOT / name
        shutil.copytree(source, tmp_path / name) if source.is_dir() else shutil.copy(source, tmp_path / name)
    # The small packages only: torch and gradio are gigabytes, and the way is the same.
    (tmp_path / "requirements.txt").write_text("PyYAML==6.0.3\n")
    text = (tmp_path / "launch.py").read_text()
    text = text.replace('("gradio", "torch", "numpy", "PIL")', '("yaml",)')
    (tmp_path / "launch.py").write_text(text)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ATELIER")}
    arguments = [sys.executable, str(tmp_path / "launch.py"), "models", "--models-dir", str(tmp_path)]
    first = subprocess.run(arguments, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "Installing the packages" in first.stderr
    second = subprocess.run(arguments, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert second.returncode == 0
    assert second.stderr == ""
    (tmp_path / ".venv" / "bin" / "python").unlink()
    third = subprocess.run(arguments, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert third.returncode == 0
    assert "Making .venv" in third.stderr
