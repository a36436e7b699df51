"""I19: no package that is installed has a weakness that is known."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def test_i19_nothing_that_is_installed_has_a_known_weakness() -> None:
    command = [sys.executable, "-m", "pip_audit", "--format=json", "--progress-spinner=off", "--timeout=10"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        reason = (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
        pytest.skip(f"the package index cannot be asked: {reason[-200:]}")
    audited = [package for package in packages if "vulns" in package]
    if not audited:
        pytest.skip(f"the package index knows none of {len(packages)} packages: {packages[0]['skip_reason']}")
    print(f"{len(audited)} of {len(packages)} packages")
    assert {package["name"]: package["vulns"] for package in audited if package["vulns"]} == {}
