"""How long loading a model takes, and how much memory, beside reading its file and what is kept of it."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from app.keeping.places import open_models

LOAD_ROWS = (
    ("file_bytes", "The file", "GB"),
    ("read_seconds", "Reading it, from the system's cache", "s"),
    ("load_seconds", "Loading the model", "s"),
    ("load_ratio", "  as much as reading", "times"),
    ("kept_bytes", "Memory, the weights as kept", "GB"),
    ("peak_bytes", "Memory, most at once while loading", "GB"),
    ("peak_ratio", "  as much as is kept", "times"),
)
RUNS = 3
_BLOCK = 1 << 24


def measure_loading(name: str, models: Sequence[str], device: str | None) -> dict[str, float]:
    """The figures of `LOAD_ROWS` of a model, in a process that has loaded none yet.

    Libraries are imported first: they cost once for all models.  Times are by the clock, and medians on both
    sides: memory that lay free is slow at its first touch on a virtual machine, whoever asks for it (measured
    1.7 s/GB, then 0.3).
    """
    from ldm_core.formats import load_model
    from ldm_core.formats.folders import weights_of
    from ldm_core.network import device as devices
    from ldm_core.network.latent_diffusion import LatentDiffusion
    from ldm_core.network.memory import keep_freed_blocks

    keep_freed_blocks()  # as the engine does
    info = open_models(models).info(name)
    LatentDiffusion.without_weights(info.spec)
    files = weights_of(info.path) if info.path.is_dir() else (info.path,)
    chosen = devices.choose(device)
    read = statistics.median(timed(lambda: _read(files))[0] for _ in range(RUNS))
    before = _memory("VmRSS")
    _forget_peak()
    loaded: list[object] = []
    loading = []
    for _ in range(RUNS):
        loaded.clear()
        loading.append(
            timed(lambda: loaded.append(load_model(info.path, device=chosen.name, dtype=chosen.dtype)))[0]
        )
    peak = _memory("VmHWM") - before
    load = statistics.median(loading)
    (model,) = loaded
    assert isinstance(model, LatentDiffusion)
    kept = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    return {
        "file_bytes": sum(file.stat().st_size for file in files),
        "read_seconds": read,
        "load_seconds": load,
        "load_ratio": load / read,
        "kept_bytes": kept,
        "peak_bytes": peak,
        "peak_ratio": peak / kept,
    }


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of this process."""
    began, cpu_began = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - cpu_began


def _read(files: Sequence[Path]) -> None:
    """Into fresh memory, as a program that keeps the bytes would."""
    for file in files:
        data = memoryview(bytearray(file.stat().st_size))
        with open(file, "rb", buffering=0) as opened:
            for start in range(0, len(data), _BLOCK):
                opened.readinto(data[start : start + _BLOCK])


def _memory(key: str) -> float:
    """Bytes, as Linux tells; NaN elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
    except OSError:
        return math.nan
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), math.nan)


def _forget_peak() -> None:
    """Begins the peak of memory anew, where the system is Linux."""
    try:
        Path("/proc/self/clear_refs").write_text("5", "ascii")
    except OSError:
        return
