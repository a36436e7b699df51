"""Reading bytes and tensors from one regular file, never through a memory map.

A mapped file that is cut short while it is in use kills the process (SIGBUS); a read only comes back
short, which is an error that a person can be told about.
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from types import TracebackType

import torch

from ldm_core.errors import ModelFileError
from ldm_core.wording import shown as shown
from ldm_core.wording import size_text as size_text

CHUNK = 1 << 24  # bytes between two updates of a checksum


class RegularFile:
    """An open regular file of known size.  Folders, pipes, devices and sockets are refused.

    Raises:
        ModelFileError: not there, not readable, not a regular file, empty, or larger than the memory.
    """

    def __init__(self, path: Path) -> None:
        self.name = shown(path.name or str(path))
        try:
            # Looked at before it is opened: opening a pipe or a device can block or act.
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise self.error("it is not a file; choose the model file itself")
            self._file: FileIO = open(path, "rb", buffering=0)  # noqa: SIM115 (closed by __exit__)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "unusable name"
            raise self.error(f"it cannot be opened ({reason.lower()})") from None
        info = os.fstat(self._file.fileno())
        self.size = info.st_size
        try:
            if not stat.S_ISREG(info.st_mode):
                raise self.error("it is not a file; choose the model file itself")
            memory = _physical_memory()
            if memory is not None and self.size > memory:
                raise self.error(
                    f"it has {size_text(self.size)}, more than this computer's memory of "
                    f"{size_text(memory)}; "
                    "use a smaller or half-precision one"
                )
        except ModelFileError:
            self._file.close()
            raise

    def error(self, reason: str) -> ModelFileError:
        """The error "NAME cannot be loaded: `reason`." """
        return ModelFileError(f"{self.name} cannot be loaded: {reason}.")

    def read(self, offset: int, count: int) -> bytes:
        """Exactly `count` bytes from `offset`."""
        buffer = bytearray(count)
        self._read_into(memoryview(buffer), offset)
        return bytes(buffer)

    def tensor(
        self,
        offset: int,
        numel: int,
        dtype: torch.dtype,
        checksum: Callable[[int], bool] | None = None,
        label: str = "",
    ) -> torch.Tensor:
        """A flat tensor of (numel,) from `offset`, in the file's little-endian order.

        Args:
            checksum: is given the bytes' CRC-32 and tells whether it is right.
            label: what the bytes are, for the message of a wrong checksum.
        """
        count = numel * dtype.itemsize
        raw = torch.empty(count, dtype=torch.uint8)
        crc = 0
        if count:
            view = raw.numpy().data
            for start in range(0, count, CHUNK):
                part = view[start : start + CHUNK]
                self._read_into(part, offset + start)
                if checksum is not None:
                    crc = zlib.crc32(part, crc)
        if checksum is not None and not checksum(crc):
            raise self.error(f"the checksum of {label} is wrong, so the file is damaged; download it again")
        return raw != 0 if dtype == torch.bool else raw.view(dtype)

    def _read_into(self, view: memoryview, offset: int) -> None:
        done = 0
        try:
            self._file.seek(offset)
            while done < len(view):
                got = self._file.readinto(view[done:])
                if not got:
                    raise self.error(
                        f"it ends after {size_text(offset + done)}; an incomplete download? Download it again"
                    )
                done += got
        except OSError as error:
            raise self.error(
                f"reading it failed ({(error.strerror or 'input/output error').lower()})"
            ) from None

    def __enter__(self) -> RegularFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()


def _physical_memory() -> int | None:
    """Bytes of memory in this machine, or None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
