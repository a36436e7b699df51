"""How the C library hands memory to torch on a CPU, and how much a device has left."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_blocks() -> bool:
    """Lets glibc keep freed blocks of up to 256 MB, in all 1 GB, for the next tensor; False elsewhere.

    By default it returns every large block to the kernel, and each activation of each layer pays again for
    having its pages cleared: 17% of the time of a convolutional network's step was spent there.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    return bool(mallopt(_M_MMAP_THRESHOLD, 256 * 2**20)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**30))


def available_memory(device: str) -> int | None:
    """Bytes that can still be taken on a device for torch; None where the system does not tell."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:  # not Linux
        return None
    kilobytes = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return int(kilobytes) * 1024 if kilobytes else None
