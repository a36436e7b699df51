"""What all tests share: the `--slow` option, and where the shared folder is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# Threads that spin while they wait take the cores from the test beside them; read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Several processes of tests (`-n 2`) share the cores.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // workers))

# The index of models must not land among the person's own files, nor among those of another process.
os.environ["ATELIER_DATA"] = tempfile.mkdtemp(prefix="latent-atelier-tests-")

from tests.golden import shared_folder

# Several processes take a file each, these first, so that no long one is left for the end.
LONGEST = ("training", "training_conditions", "training_kinds", "bundled", "adapters")

# A busy machine is no fault: what has to be quick has a test that says so.
settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")

for helpers in ("browser", "checkpoints", "engine_jobs", "stable_diffusion", "training_kinds"):
    pytest.register_assert_rewrite(f"tests.{helpers}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run tests that take more than a few seconds")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    files = [f"test_{name}.py" for name in LONGEST]
    items.sort(key=lambda item: files.index(item.path.name) if item.path.name in files else len(files))
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow; run with --slow"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden cases and other material that is not part of the project."""
    folder = shared_folder()
    if folder is None:
        pytest.skip("the shared folder is not there (ATELIER_SHARED, else ../shared)")
    return folder
