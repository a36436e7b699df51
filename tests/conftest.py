"""What all tests share: the `--slow` option, and where the shared folder is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

# Threads that spin while they wait take the cores from the test beside them; read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# The index of models must not land among the person's own files.
os.environ.setdefault("ATELIER_DATA", tempfile.mkdtemp(prefix="latent-atelier-tests-"))

from tests.golden import shared_folder

for helpers in ("browser", "checkpoints", "engine_jobs", "stable_diffusion"):
    pytest.register_assert_rewrite(f"tests.{helpers}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run tests that take more than a few seconds")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
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
