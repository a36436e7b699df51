"""Reading the tensors of a checkpoint that may come from anywhere.

What a file is, is told by its content, never by its name.  safetensors and the zip archives that
`torch.save` writes are read; everything else is refused by its own name.  Nothing in a file is ever
run or imported, whatever it says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType

import torch

from ldm_core.formats.checkpoint_zip import read_contents, read_tensors
from ldm_core.formats.files import RegularFile, shown
from ldm_core.formats.safetensors_file import read_entries, read_entry

_HEAD = 1024  # bytes looked at to tell what a file is
_SMALL = 10_000  # numbers; the schedule of a model has 1,000
# Tensors whose values tell what a model is: those of the model itself, the limits of an EDM's schedule, and
# what tells eps from v in Stable Diffusion 2 (in either layout).
_TELLING = re.compile(
    r"[^.]+|edm_vpred\.sigma_(min|max)"
    r"|(.*\.)?(output_blocks\.\d+\.1|up_blocks\.\d+\.attentions\.\d+)\.transformer_blocks\.0\.norm1\.bias"
)

# What a file begins with -> what to say about it.
_OTHER_KINDS: tuple[tuple[bytes, str], ...] = (
    (
        b"version https://git-lfs",
        "it is a Git-LFS pointer, not the model itself; get the real file with `git lfs pull`",
    ),
    (b"GGUF", "it is a GGUF file, which is not supported; look for a .safetensors version of the model"),
    (b"\x1f\x8b", "it is a gzip archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive; unpack it first"),
    (b"Rar!", "it is a RAR archive; unpack it first"),
    (b"\x89HDF", "it is an HDF5 (Keras) file, which is not supported; look for a .safetensors version"),
    (b"\x89PNG", "it is a picture, not a model"),
    (b"\xff\xd8\xff", "it is a picture, not a model"),
    (b"RIFF", "it is a picture or sound, not a model"),
    (b"%PDF", "it is a PDF document, not a model"),
)

_LEGACY_PICKLE = (
    "it is a checkpoint in the old format of PyTorch before 1.6 (a bare pickle), which is not read for "
    "safety; look for a .safetensors version, or convert it with "
    "`torch.save(torch.load(FILE, weights_only=True, map_location='cpu'), NEW_FILE)`"
)
_TORCH_TAR = (b"sys_info", b"pickle", b"storages", b"tensors")  # one of them comes first
_LEGACY_TAR = (
    "it is a checkpoint in the first format of PyTorch (a tar archive, before 0.2), which is not read for "
    "safety; look for a .safetensors version of the model"
)


class Checkpoint:
    """An open checkpoint.  Opening reads what there is; the weights are read when they are wanted.

    Of a trainer's checkpoint only its `state_dict` counts; optimizer states and other leftovers do not.

    Attributes:
        metadata: what the maker of a safetensors file wrote into it.
        shapes: every tensor by name, on the device "meta", except for small ones that tell what the model is
            (the noise schedule, the latent's scale, ...): those have their values.

    Raises:
        ModelFileError: the file is not a checkpoint, is incomplete, or contains what one has no need of.
    """

    def __init__(self, path: Path) -> None:
        self._file = RegularFile(path)
        self.metadata: dict[str, str] = {}
        try:
            head = self._file.read(0, min(self._file.size, _HEAD))
            if _is_safetensors(head):
                shapes = self._open_safetensors()
            elif head.startswith(b"PK\x03\x04"):
                shapes = self._open_zip()
            else:
                raise self._file.error(_what_it_is(head, self._file.size))
            small = [n for n, t in shapes.items() if t.numel() <= _SMALL and _TELLING.fullmatch(n)]
            self.shapes = shapes | dict(self._values(small))
        except BaseException:
            self._file.close()
            raise

    def _open_safetensors(self) -> dict[str, torch.Tensor]:
        entries, start, self.metadata = read_entries(self._file)
        by_name = {entry.name: entry for entry in entries}

        def values(names: Iterable[str]) -> Iterator[tuple[str, torch.Tensor]]:
            for entry in sorted((by_name[name] for name in names), key=lambda e: e.begin):
                yield entry.name, read_entry(self._file, entry, start)

        self._values: Values = values
        return {e.name: torch.empty(e.shape, dtype=e.dtype, device="meta") for e in entries}

    def _open_zip(self) -> dict[str, torch.Tensor]:
        members, stored = read_contents(self._file)
        self._values = lambda names: read_tensors(self._file, members, {name: stored[name] for name in names})
        return {n: torch.empty(t.shape, dtype=t.storage.dtype, device="meta") for n, t in stored.items()}

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, torch.Tensor]]:
        """Tensors of these names, contiguous, on the CPU, in the file's own dtype, in any order.

        Raises:
            ModelFileError: the data is damaged, or a weight is NaN or infinite.
        """
        for name, tensor in self._values(names):
            _require_finite(self._file, name, tensor)
            yield name, tensor

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


Values = Callable[[Iterable[str]], Iterator[tuple[str, torch.Tensor]]]


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """All weights of a checkpoint by name, as `Checkpoint.read` gives them.

    Raises:
        ModelFileError: as `Checkpoint`.
    """
    with Checkpoint(path) as checkpoint:
        return dict(checkpoint.read(checkpoint.shapes))


def read_shapes(path: Path) -> dict[str, torch.Tensor]:
    """`Checkpoint.shapes` of a file; reads little more than its header.

    Raises:
        ModelFileError: as `Checkpoint`.
    """
    with Checkpoint(path) as checkpoint:
        return checkpoint.shapes


def _is_safetensors(head: bytes) -> bool:
    """An eight-byte length, then a JSON object."""
    return head[8:9] == b"{"


def _what_it_is(head: bytes, size: int) -> str:
    if size == 0:
        return "it is empty; an incomplete download? Download it again"
    for start, message in _OTHER_KINDS:
        if head.startswith(start):
            return message
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if re.match(rb"<(!doctype|!--|\?xml|html|head|body|script|svg)", text, re.IGNORECASE):
        return "it is a web page, not a model; the download may have needed a login, download it again"
    if head[:100].rstrip(b"\0") in _TORCH_TAR:
        return _LEGACY_TAR
    if head[257:262] == b"ustar":
        return "it is a tar archive; unpack it first, or look for a .safetensors version of the model"
    if re.match(rb"\x80[\x02-\x05]", head) or re.match(rb"(\(|c)[\w.(]+\n|[(\]}]+[.lqp]", head):
        return _LEGACY_PICKLE
    if size < 16:
        return f"it has only {size} bytes and is empty or incomplete; download it again"
    if text[:1] in (b"{", b"["):
        return "it is a JSON text, not a model; choose the .safetensors or .ckpt file itself"
    return (
        "it is not a checkpoint of a known kind, or it is damaged; "
        "safetensors files and checkpoints saved by PyTorch 1.6 or later can be loaded"
    )


def _require_finite(file: RegularFile, name: str, tensor: torch.Tensor) -> None:
    """Refuses NaN and infinity: one such weight makes every picture black."""
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return
    if tensor.dtype.itemsize == 1:  # of which torch knows no such things
        tensor = tensor.float()
    low, high = torch.aminmax(tensor)  # NaN comes through, and no copy is made
    if not (math.isfinite(low) and math.isfinite(high)):
        count = int((~torch.isfinite(tensor)).sum())
        raise file.error(
            f"{count:,} of the {tensor.numel():,} weights of {shown(name)} are NaN or infinite, so the "
            "file is damaged or its training failed; use another version of the model"
        )
