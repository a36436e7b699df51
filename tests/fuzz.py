"""Mutations of good files and requests: each is read, or refused with a sentence; nothing else, and in time.

    python -m tests.fuzz                                    # each kind as often as CI does
    python -m tests.fuzz headers pickles --count 1000000    # some kinds, through a night

Hypothesis draws the mutations, and makes the smallest of what fails.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import pickle
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

from ldm_core.errors import AtelierError
from ldm_core.formats.reading import read_state_dict
from ldm_core.pictures.reading import read_bytes, read_picture
from ldm_core.request import parse_request, to_json

SECONDS = 5  # that one may compute
CI = 300
NIGHTLY = {"headers": 1_000_000, "pickles": 100_000, "pictures": 100_000, "requests": 100_000}
FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))


def mutated(seeds: list[bytes], longest: int) -> st.SearchStrategy[bytes]:
    """A seed with some bytes changed, taken out or put in, and perhaps cut; mostly near the beginning."""
    place = st.one_of(st.integers(0, 200), st.integers(0, longest))
    edit = st.tuples(place, st.integers(0, 8), st.binary(max_size=9))

    def made(seed: bytes, edits: list[tuple[int, int, bytes]], cut: int | None) -> bytes:
        data = bytearray(seed)
        for at, gone, put in edits:
            at = min(at, len(data))
            data[at : at + gone] = put
        return bytes(data[:cut])

    cut = st.one_of(st.none(), st.integers(0, longest))
    return st.builds(made, st.sampled_from(seeds), st.lists(edit, max_size=6), cut)


def read_checkpoint(data: bytes) -> None:
    file = FOLDER / "model.bin"
    file.write_bytes(data)
    read_state_dict(file)


def headers() -> st.SearchStrategy[bytes]:
    tensors = {"a": torch.zeros(2, 3), "b.weight": torch.ones(4, dtype=torch.float16)}
    return mutated([save(tensors), save(tensors, {"format": "pt"}), save({})], 300)


def pickles() -> st.SearchStrategy[bytes]:
    seeds = []
    for state in ({"state_dict": {"a": torch.zeros(2)}}, {"a": torch.ones(3), "epoch": 1}):
        file = io.BytesIO()
        torch.save(state, file)
        seeds.append(file.getvalue())
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a": [1, 2, (3,)]}, 2))
        archive.writestr("archive/version", "3\n")
    return mutated([*seeds, file.getvalue(), pickle.dumps({"a": 1}, 2)], 1500)


def pictures() -> st.SearchStrategy[bytes]:
    seeds = []
    for kind, mode in (("PNG", "RGBA"), ("JPEG", "RGB"), ("WEBP", "RGB"), ("TIFF", "RGB"), ("BMP", "RGB")):
        file = io.BytesIO()
        shape = (9, 9, len(mode))
        Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8), mode).save(file, kind)
        seeds.append(file.getvalue())
    return mutated(seeds, 900)


def read_image(data: bytes) -> None:
    file = FOLDER / "picture"
    file.write_bytes(data)
    read_picture(read_bytes(file, "The picture"))


def requests() -> st.SearchStrategy[bytes]:
    seeds = [{"task": "text-to-image", "prompt": "a lake", "steps": 3, "seed": 5, "sampler": "ddim"}]
    seeds += [{**seeds[0], "task": "inpaint", "image": "data:image/png;base64,iVBORw0KGgo="}]
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inside: (
            st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=8), inside, max_size=3)
        ),
        max_leaves=6,
    )
    names = st.sampled_from([*to_json(parse_request(seeds[0])), "image", "mask", "nothing"])

    def made(seed: dict[str, object], changes: dict[str, object]) -> bytes:
        return json.dumps(seed | changes).encode()

    whole = st.builds(made, st.sampled_from(seeds), st.dictionaries(names, values, max_size=4))
    return whole | mutated([json.dumps(seed).encode() for seed in seeds], 200)


def read_request(data: bytes) -> None:
    with contextlib.suppress(ValueError, RecursionError):  # which is no JSON, and refused before
        found = json.loads(data)
        if isinstance(found, dict):
            to_json(parse_request(found))


KINDS: dict[str, tuple[Callable[[], st.SearchStrategy[bytes]], Callable[[bytes], None]]] = {
    "headers": (headers, read_checkpoint),
    "pickles": (pickles, read_checkpoint),
    "pictures": (pictures, read_image),
    "requests": (requests, read_request),
}


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Raises where something hangs."""

    def late(*_: object) -> None:
        raise TimeoutError(f"longer than {SECONDS} s")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of this process: other work on the machine does not count
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def fuzz(kind: str, count: int) -> tuple[int, int]:
    """Reads so many mutations; returns how many were read and refused.

    Raises:
        Exception: whatever a mutation raised that is no sentence.
    """
    strategy, read = KINDS[kind]
    told = [0, 0]

    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy())
    def once(data: bytes) -> None:
        with in_time():
            try:
                read(data)
            except AtelierError as error:
                assert str(error)
                told[1] += 1
            else:
                told[0] += 1

    once()
    return told[0], told[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(KINDS)}; all of them if left out")
    parser.add_argument("--count", type=int, default=CI)
    parser.add_argument("--nightly", action="store_true", help="as many as a night is for")
    options = parser.parse_args()
    for kind in options.kinds or KINDS:
        began = time.monotonic()
        read, refused = fuzz(kind, NIGHTLY[kind] if options.nightly else options.count)
        print(f"{kind}: {read} read, {refused} refused, in {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
