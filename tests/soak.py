"""Hours of mixed work on a running program; says whether its memory and descriptors stay what they were.

    python -m tests.soak --minutes 120

Pictures of two models in turn, from noise and from uploads, in batches, some cancelled on their way, all
downloaded.  The program is a process of its own, so that nothing else counts.  Growth is measured between the
medians of two windows: after the warm-up, and at the end.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests import tiny
from tests.browser import free_port
from tests.faults.conftest import SMALL, Asking, png, uri

ROOT = Path(__file__).resolve().parent.parent
RUN = "import sys; from app.commands.cli import main; sys.exit(main(sys.argv[1:]))"
WARM_SECONDS, WINDOW_SECONDS, LOOK_SECONDS = 300.0, 120.0, 5.0
CLIENTS = 3


@dataclass(frozen=True, slots=True)
class Look:
    """What the process has after some seconds."""

    seconds: float
    memory: int  # bytes
    descriptors: int
    threads: int


def look(process: int, began: float) -> Look:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    there = Path(f"/proc/{process}")
    return Look(
        time.monotonic() - began,
        pages * os.sysconf("SC_PAGE_SIZE"),
        len(os.listdir(there / "fd")),
        len(os.listdir(there / "task")),
    )


def work(address: str, number: int, until: float, done: Counter[str]) -> None:
    """What one client asks, until then."""
    chance = random.Random(number)
    asking = Asking(address, {}, {})
    for i in itertools.count():
        if time.monotonic() > until:
            return
        request = {**SMALL, "seed": i, "model": chance.choice(["landscapes", "other"])}
        match chance.choice(["picture", "picture", "batch", "upload", "data", "cancel", "wrong"]):
            case "picture" as kind:
                pass
            case "batch" as kind:
                request["batch_size"] = chance.choice([2, 4])
            case "upload" as kind:
                (path,) = asking.upload(f"{i}.png", png(64, 64 + 8 * (i % 4))).json()
                request |= {"task": "image-to-image", "image": {"path": path}}
            case "data" as kind:
                request |= {"task": "image-to-image", "image": uri(png())}
            case "cancel" as kind:
                event = asking.begin({**request, "steps": 250})
                time.sleep(chance.random() / 2)
                asking.cancel(event)
                done[kind] += 1
                continue
            case kind:
                request["steps"] = 0
        if "image" in request:
            del request["width"], request["height"]
        answer = asking.call(request)
        assert answer.kind == ("error" if kind == "wrong" else "complete"), (request, answer)
        if answer.kind == "complete":
            (made,) = answer.data  # type: ignore[misc]
            for image in made["images"]:
                assert asking.web.get(image["url"]).content[:4] == b"\x89PNG"
        done[kind] += 1


def soak(minutes: float) -> list[Look]:
    """Works so long; prints what the process has meanwhile."""
    with tempfile.TemporaryDirectory(prefix="soak-") as kept:
        folder = Path(kept)
        for name in ("landscapes", "other"):
            tiny.write_model(folder / "models", name=name, spec=tiny.EVERYTHING)
        port = free_port()
        options = ["run", "--no-browser", f"--port={port}", f"--outputs={folder / 'out'}", "--device=cpu"]
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, *options, f"--models-dir={folder / 'models'}"],
            cwd=ROOT,
            env={**os.environ, "ATELIER_DATA": str(folder / "data")},
            stdout=subprocess.DEVNULL,
        )
        try:
            return _watched(process, f"http://127.0.0.1:{port}", 60 * minutes)
        finally:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):  # on a machine that does much else
                process.wait(60)
            process.kill()
            process.wait()


def _watched(process: subprocess.Popen[bytes], address: str, seconds: float) -> list[Look]:
    while True:
        assert process.poll() is None
        try:
            if httpx.get(f"{address}/health").json()["status"] == "ok":
                break
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    began, done, looks = time.monotonic(), Counter[str](), list[Look]()
    clients = [
        threading.Thread(target=work, args=[address, number, began + seconds, done])
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    while any(client.is_alive() for client in clients):
        time.sleep(LOOK_SECONDS)
        looks.append(now := look(process.pid, began))
        if len(looks) % 12 == 0:
            print(
                f"{now.seconds / 60:5.1f} min: {now.memory / 2**20:.1f} MB, {now.descriptors} descriptors, "
                f"{now.threads} threads, {sum(done.values())} pieces of work",
                flush=True,
            )
    print(", ".join(f"{count} {kind}" for kind, count in sorted(done.items())))
    assert sum(client.is_alive() for client in clients) == 0 and done
    return looks


def growth(looks: list[Look], measure: str) -> float:
    """From after the warm-up to the end, in per cent."""
    first = [one for one in looks if 0 <= one.seconds - WARM_SECONDS < WINDOW_SECONDS]
    last = [one for one in looks if looks[-1].seconds - one.seconds < WINDOW_SECONDS]
    before, after = (statistics.median(getattr(one, measure) for one in part) for part in (first, last))
    return 100 * (after / before - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=120.0)
    looks = soak(parser.parse_args().minutes)
    if looks[-1].seconds < WARM_SECONDS + 2 * WINDOW_SECONDS:
        print("too short for a figure of growth")
        return
    for measure in ("memory", "descriptors", "threads"):
        print(f"{measure}: {growth(looks, measure):+.1f} % from minute {WARM_SECONDS / 60:.0f} to the end")


if __name__ == "__main__":
    main()
