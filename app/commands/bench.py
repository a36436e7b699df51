"""`launch.py bench`: how long things take on this machine, as medians of several runs.

Each run is a fresh process, so that start and loading are measured as a person meets them.  On a machine
that does something else besides, the figures say little: close other programs first.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.commands.bench_against import AGAINST_ROWS, STABLE_DIFFUSION_1, Rows, against_diffusers
from app.commands.bench_load import LOAD_ROWS, measure_loading
from app.keeping.places import ROOT, open_models
from app.web.server import choose_port
from ldm_core.errors import AtelierError
from ldm_core.request import DEFAULT_MODEL

if TYPE_CHECKING:
    from app.studio.jobs import Studio

PATIENCE = 300  # seconds to wait for the page
BARE_PAGE = "import gradio as gr\nwith gr.Blocks() as page: pass\npage.launch(server_port={port}, quiet=True)"

ROWS: Rows = (
    ("page_seconds", "Page up", "s"),
    ("gradio_seconds", "  gradio with an empty page, for comparison", "s"),
    ("ready_seconds", "Engine imported, model loaded and run once", "s"),
    ("first_preview_seconds", "First preview after Generate (without the browser)", "s"),
    ("unet_seconds", "UNet, one guided step", "s"),
    ("decode_seconds", "Decoding", "s"),
    ("picture_seconds", "Whole picture", "s"),
    ("preview_percent", "Added by a preview at every step", "%"),
    ("peak_bytes", "Peak memory", "GB"),
)


def main(arguments: Sequence[str]) -> int:
    """Measures, prints a table and writes it as JSON where asked; returns the exit status."""
    parser = argparse.ArgumentParser(prog="launch.py bench", description="Measures the speed.")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the figures there")
    parser.add_argument("--runs", type=int, default=3, help="fresh processes for each figure; default 3")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--models-dir", action="append", default=[], metavar="DIR")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps; default: the best there is")
    parser.add_argument("--load", action="store_true", help="only loading the model, beside reading its file")
    parser.add_argument(
        "--against",
        choices=["diffusers"],
        help="only the networks of Stable Diffusion 1.5, beside diffusers' with the same weights",
    )
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], help="of --against")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(list(arguments))
    if options.inside:
        how = measure_loading if options.load else measure
        print(json.dumps(how(options.model, options.models_dir, options.device)))
        return 0
    if options.against:
        figures = against_diffusers(STABLE_DIFFUSION_1, options.device, options.dtype, max(1, options.runs))
        return _report(AGAINST_ROWS, figures, [figures], options.json)
    same = ["--load"] if options.load else []
    same += ["--model", options.model, *(f"--models-dir={folder}" for folder in options.models_dir)]
    same += [f"--device={options.device}"] if options.device else []
    runs: list[dict[str, float]] = []
    try:
        for i in range(max(1, options.runs)):
            print(f"run {i + 1} of {max(1, options.runs)} ...", file=sys.stderr, flush=True)
            pages = {} if options.load else _pages(options.models_dir)
            runs.append({**pages, **_in_fresh_process(same)})
    except AtelierError as error:
        print(error, file=sys.stderr)
        return 1
    figures = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    return _report(LOAD_ROWS if options.load else ROWS, figures, runs, options.json)


def _report(
    rows: Rows, figures: dict[str, float], runs: Sequence[dict[str, float]], file: Path | None
) -> int:
    for key, title, unit in rows:
        value = figures[key] / 1e9 if unit == "GB" else figures[key]
        print(f"{title:<52}{value:8.3f} {unit}" if unit == "s" else f"{title:<52}{value:8.2f} {unit}")
    if file:
        file.write_text(json.dumps({"medians": figures, "runs": runs}, indent=1), encoding="utf-8")
    return 0


def _in_fresh_process(arguments: Sequence[str]) -> dict[str, float]:
    command = [sys.executable, "-m", "app.commands.bench", "--inside", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise AtelierError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "The run failed.")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _pages(models: Sequence[str]) -> dict[str, float]:
    """Seconds from the command to the first answer, for our page and for an empty one."""
    port = choose_port("127.0.0.1", None)
    ours = ["-m", "app.commands.cli", "run", "--no-browser", "--port", str(port)]
    ours += [f"--models-dir={folder}" for folder in models]
    bare = ["-c", BARE_PAGE.format(port=port)]
    return {"page_seconds": _until_served(ours, port), "gradio_seconds": _until_served(bare, port)}


def _until_served(arguments: Sequence[str], port: int) -> float:
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
    )
    try:
        while time.monotonic() - began < PATIENCE and process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
                    return time.monotonic() - began
            except OSError:
                time.sleep(0.02)
        raise AtelierError("The page did not come up; start it with launch.py to see why.")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


# Inside the fresh process ---------------------------------------------------------------------------------


def measure(name: str, models: Sequence[str], device: str | None) -> dict[str, float]:
    """All figures of the engine, for a picture as the model likes it best."""
    began = time.monotonic()
    from app.studio.frames import Ended, Live
    from app.studio.jobs import Studio
    from ldm_core.engine import run

    studio = Studio(open_models(models), None, device)
    studio.warm_up()
    if studio.problem:
        raise AtelierError(studio.problem)
    figures = {"ready_seconds": time.monotonic() - began}
    request = replace(studio.models.info(name).defaults, prompt="a lake at sunset", seed=1)
    list(studio.paint(request))  # the model, where it is not the default one

    began = time.monotonic()
    first = None
    for frame in studio.paint(request):
        if first is None and isinstance(frame, Live) and frame.preview is not None:
            first = time.monotonic() - began
        if isinstance(frame, Ended) and frame.failed:
            raise AtelierError(frame.text)
    figures["first_preview_seconds"] = math.nan if first is None else first
    figures["picture_seconds"] = time.monotonic() - began

    # Turn about, so that both meet the same state of the machine.
    usual, seconds = run.PREVIEW_SECONDS, {0.0: 0.0, math.inf: 0.0}
    for _ in range(2):
        for pause in seconds:
            run.PREVIEW_SECONDS = pause
            seconds[pause] += _seconds(lambda: list(studio.paint(request)))
    run.PREVIEW_SECONDS = usual
    figures["preview_percent"] = 100 * (seconds[0.0] / seconds[math.inf] - 1)
    figures.update(_networks(studio, name))
    studio.close()
    figures["peak_bytes"] = _peak_memory()
    return figures


def _networks(studio: Studio, name: str) -> dict[str, float]:
    """Medians of single calls of the networks, for the model's own size."""
    import torch

    from ldm_core.conditioners import Inputs

    device = studio.engine().device
    model = studio.models.load(name, device=device.name, dtype=device.dtype)
    info = studio.models.info(name)
    first_stage = info.spec.first_stage
    size = (info.defaults.height // first_stage.downsampling, info.defaults.width // first_stage.downsampling)
    x = torch.randn(2, info.spec.latent_channels, *size)
    cond = model.condition([Inputs(prompt="a lake at sunset"), Inputs()], size)
    t = torch.tensor([500, 500])

    def guided_step() -> None:
        model.output(x, t, cond).cpu()

    def decode() -> None:
        model.decode(x[:1]).cpu()

    return {
        "unet_seconds": statistics.median(_seconds(guided_step) for _ in range(7)),
        "decode_seconds": statistics.median(_seconds(decode) for _ in range(5)),
    }


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _peak_memory() -> float:
    """Bytes; NaN on systems that do not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
