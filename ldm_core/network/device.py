"""Where the networks run and in which number format.

The choice follows from the hardware alone, never from a timing at start: one machine has to make the same
bytes every time.  The timings behind it (UNet of 36 million parameters, 32 x 32 latents, two cores of an
AMD EPYC with AVX512-BF16, torch 2.13):

    guided evaluation   float32 174 ms   bfloat16 107 ms
    decode 256 x 256    float32 135 ms   bfloat16  74 ms

On processors without bfloat16 instructions oneDNN emulates them: a convolution took 190 ms for 4.7 ms in
float32.  Batches of four guided pictures cost 20% less each, but several shapes gave other roundings than a
single picture, so a CPU answers one picture at a time.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch

from ldm_core.errors import AtelierError, EngineError, OutOfMemory

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BATCH_ON_GPU = 8

Part = Literal["loading", "inputs", "steps", "decoding"]  # of the work on a picture
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Device:
    """Where and how the networks run.

    Attributes:
        name: for torch, "cpu", "cuda:0", "mps".
        dtype: of weights and activations.
        title: what a person calls it.
        memory: bytes that it has in all, 0 where unknown.
        max_batch: pictures in one network call.
    """

    name: str
    dtype: torch.dtype
    title: str
    memory: int
    max_batch: int

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")


def choose(device: str | None = None, dtype: str | None = None) -> Device:
    """The device to use: the arguments, else ATELIER_DEVICE and ATELIER_DTYPE, else the best there is.

    Raises:
        EngineError: there is no such device or number format.
    """
    name = device or os.environ.get("ATELIER_DEVICE") or available()[0]
    wanted = dtype or os.environ.get("ATELIER_DTYPE")
    if wanted and wanted not in DTYPES:
        raise EngineError(f"The number format is {wanted[:40]!r}; it has to be one of {', '.join(DTYPES)}.")
    chosen = DTYPES[wanted] if wanted else None
    there = available()
    if name not in there:
        raise EngineError(f"The device is {name[:40]!r}; it has to be one of {', '.join(there)}.")
    if name.startswith("cuda"):
        name = name if ":" in name else "cuda:0"
        card = torch.cuda.get_device_properties(name)
        return Device(name, chosen or _cuda_dtype(), card.name, card.total_memory, BATCH_ON_GPU)
    if name == "mps":
        return Device(name, chosen or torch.float32, f"{_processor()}, Metal", _main_memory(), BATCH_ON_GPU)
    return Device(name, chosen or _cpu_dtype(), _processor(), _main_memory(), 1)


def available() -> tuple[str, ...]:
    """The names of the devices that this computer has, the best first."""
    cards = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    metal = ["mps"] if torch.backends.mps.is_available() else []
    return (*(["cuda"] if cards else []), *cards, *metal, "cpu")


def describe(device: Device) -> dict[str, str]:
    """What a bug report should say about the device."""
    facts = {
        "device": f"{device.name} ({device.title})",
        "number format": device.dtype_name,
        "memory": f"{device.memory / 2**30:.1f} GB" if device.memory else "unknown",
        "pictures at once": str(device.max_batch),
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }
    if device.name.startswith("cuda"):
        facts["cuda"] = str(torch.version.cuda)
    return facts


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; on a CPU torch says so only in words."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = str(error).lower()
    signs = ("out of memory", "can't allocate memory", "not enough memory", "failed to allocate", "bad_alloc")
    return isinstance(error, RuntimeError) and any(sign in words for sign in signs)


class ShortOfMemory(MemoryError):
    """Memory ran out in a part of the work, wherever that was asked for: between two steps too."""

    def __init__(self, part: Part) -> None:
        super().__init__(f"memory ran out: {part}")
        self.part = part


@contextmanager
def memory_for(part: Part) -> Iterator[None]:
    """Where memory runs out within, the error says that it was for this part.

    Raises:
        ShortOfMemory: memory ran out.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, ShortOfMemory) or not is_out_of_memory(error):
            raise
        raise ShortOfMemory(part) from error


def described(error: Exception, size: tuple[int, int]) -> AtelierError:
    """What went wrong with a picture of a width and height, as a sentence for a person."""
    if isinstance(error, AtelierError):
        return error
    if is_out_of_memory(error):
        pixels = " x ".join(map(str, size))
        return OutOfMemory(
            f"Memory ran out at {pixels} pixels; choose a smaller size or close other programs."
        )
    if isinstance(error, torch.AcceleratorError):
        return EngineError("The graphics device stopped answering; start Latent Atelier again.")
    return EngineError(f"The picture met an unexpected fault ({type(error).__name__}); see the engine's log.")


def unless_out_of_memory(compute: Callable[[], T]) -> T | None:
    """What is computed; None where memory is too short for it."""
    try:
        return compute()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    return None  # outside of the handler, which holds on to the failed call's tensors


def release_memory(device: Device) -> None:
    """Gives unused blocks back to the driver."""
    if device.name.startswith("cuda"):
        torch.cuda.empty_cache()
    elif device.name == "mps":
        torch.mps.empty_cache()


def _cuda_dtype() -> torch.dtype:
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def _cpu_dtype() -> torch.dtype:
    return torch.bfloat16 if _cpu_has_bfloat16() else torch.float32


def _cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself (AVX512-BF16 or AMX)."""
    # torch has no public question for this.
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, check, bool)()) for check in checks)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine() or "CPU")


def _main_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return 0
