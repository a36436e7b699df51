"""What a checkpoint's `data.pkl` says, as plain data.

A pickle is a program for a small stack machine.  This is such a machine without its dangerous part:
it imports nothing and calls nothing.  Names of classes and functions stay names; the few that
describe tensors become `StoredTensor`; whatever else a trainer left behind becomes `OPAQUE`.
Names that no checkpoint needs are refused, because a file with such a name is an attack.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch

MAX_PICKLE = 16_000_000  # bytes; published checkpoints have less than 1 MB
MAX_INSTRUCTIONS = 500_000  # about 45 for a tensor, so some 11,000 tensors
MAX_DIMENSIONS = 8
MAX_NAME = 300  # characters of a class or function with its module

STORAGE_DTYPES: dict[str, torch.dtype] = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}

# Leftovers of trainers and configuration libraries: any name inside of these packages is skipped over.
_SKIPPED_PACKAGES = frozenset(
    "pytorch_lightning lightning lightning_fabric lightning_utilities omegaconf ldm taming".split()
)
# Single names beside them that honest checkpoints carry.
_SKIPPED_NAMES = frozenset(
    {
        "_codecs.encode",
        "argparse.Namespace",
        "collections.Counter",
        "copyreg._reconstructor",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy.dtype",
        "numpy.ndarray",
        "pathlib.Path",
        "pathlib.PosixPath",
        "pathlib.WindowsPath",
        "torch.Tensor",
        "torch.device",
        "torch.nn.parameter.Parameter",
        "torch.serialization._get_layout",
        "torch._tensor._rebuild_from_type_v2",
        "torch._utils._rebuild_qtensor",
        "torch._utils._rebuild_sparse_tensor",
        "torch._utils._rebuild_tensor_v3",
        "torch.storage.UntypedStorage",
        "torch.storage._load_from_bytes",
        "typing.Any",
        *(f"torch.{name}" for name in "float16 float32 float64 bfloat16 int32 int64 uint8".split()),
        *(f"torch.{name}Storage" for name in "ComplexFloat ComplexDouble QInt8 QUInt8 QInt32".split()),
        *(f"builtins.{name}" for name in "object set frozenset int float bool str bytes".split()),
        *(f"builtins.{name}" for name in "complex slice range".split()),
    }
)
_DICTS = frozenset({"collections.OrderedDict", "collections.defaultdict", "builtins.dict"})
# Modules that hold nothing but tensors; those come as their state.
_HOLDERS = frozenset(f"torch.nn.modules.container.Parameter{kind}" for kind in ("Dict", "List"))
_TENSORS = frozenset({"torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"})
_PARAMETER = "torch._utils._rebuild_parameter"
_UNDERSTOOD = frozenset(
    {*STORAGE_DTYPES, *_DICTS, *_HOLDERS, *_TENSORS, _PARAMETER, "torch.Size", "builtins.list"}
)
# Python 2's names of modules.
_OLD_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}

_CONSTANTS = frozenset(
    "BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINSTRING "
    "SHORT_BINSTRING BINBYTES SHORT_BINBYTES NONE NEWTRUE NEWFALSE".split()
)


class PickleRefused(Exception):
    """The reason, for a sentence that begins with the file's name."""


class Opaque:
    """Something in a checkpoint that has no meaning here."""

    __slots__ = ()


OPAQUE: Final = Opaque()
_MARK: Final = object()


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function that the pickle names."""

    full: str


@dataclass(frozen=True, slots=True)
class Storage:
    """A run of `numel` numbers in the archive's member `data/KEY`."""

    key: str
    dtype: torch.dtype
    numel: int


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A view of a storage; offset and stride in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def read_pickle(data: bytes) -> object:
    """The pickled object, of dicts, lists, tuples, constants, `StoredTensor`, `Name` and `OPAQUE`.

    Entries of a dict whose key is not a text are left out.

    Raises:
        PickleRefused: damaged, too large, or names what no checkpoint has a need of.
    """
    if len(data) > MAX_PICKLE:
        raise PickleRefused("its list of contents is far larger than that of any model")
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count >= MAX_INSTRUCTIONS:
                raise PickleRefused("its list of contents is far longer than that of any model")
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, AttributeError):
        pass
    raise PickleRefused("its list of contents is damaged; download it again")


class _Machine:
    """The stack, the memo, and what each instruction does to them."""

    def __init__(self) -> None:
        self.stack: list[object] = []
        self.memo: dict[int, object] = {}
        self._actions: dict[str, Callable[[], None]] = {
            "MARK": lambda: self.stack.append(_MARK),
            "EMPTY_TUPLE": lambda: self.stack.append(()),
            "EMPTY_LIST": lambda: self.stack.append([]),
            "EMPTY_DICT": lambda: self.stack.append({}),
            "EMPTY_SET": lambda: self.stack.append(OPAQUE),
            "TUPLE": lambda: self.stack.append(tuple(self._pop_to_mark())),
            "TUPLE1": lambda: self._tuple(1),
            "TUPLE2": lambda: self._tuple(2),
            "TUPLE3": lambda: self._tuple(3),
            "APPEND": lambda: self._append([self.pop()]),
            "APPENDS": lambda: self._append(self._pop_to_mark()),
            "ADDITEMS": lambda: self._append(self._pop_to_mark()),
            "SETITEM": lambda: self._set_items([self.pop(), self.pop()][::-1]),
            "SETITEMS": lambda: self._set_items(self._pop_to_mark()),
            "MEMOIZE": lambda: self.memo.__setitem__(len(self.memo), self.stack[-1]),
            "STACK_GLOBAL": self._stack_global,
            "REDUCE": self._call,
            "NEWOBJ": self._call,
            "NEWOBJ_EX": lambda: self._replace(3, OPAQUE),
            "BUILD": self._build,
            "BINPERSID": lambda: self.stack.append(_storage(self.pop())),
            "PROTO": lambda: None,
            "FRAME": lambda: None,
        }

    def step(self, opcode: str, argument: object) -> None:
        """Carries out one instruction."""
        if opcode in _CONSTANTS:
            constants = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
            self.stack.append(constants.get(opcode, argument))
        elif opcode in ("BINPUT", "LONG_BINPUT") and isinstance(argument, int):
            self.memo[argument] = self.stack[-1]
        elif opcode in ("BINGET", "LONG_BINGET") and isinstance(argument, int):
            self.stack.append(self.memo[argument])
        elif opcode == "GLOBAL" and isinstance(argument, str):
            module, _, name = argument.partition(" ")
            self.stack.append(_name(module, name))
        elif opcode in self._actions:
            self._actions[opcode]()
        else:
            raise PickleRefused(f"it uses the pickle instruction {opcode}, which no checkpoint has a need of")

    def pop(self) -> object:
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError
        return value

    def _pop_to_mark(self) -> list[object]:
        items: list[object] = []
        while (value := self.stack.pop()) is not _MARK:
            items.append(value)
        return items[::-1]

    def _tuple(self, count: int) -> None:
        self.stack.append(tuple([self.pop() for _ in range(count)][::-1]))

    def _replace(self, count: int, value: object | None) -> None:
        """Pops `count` values and pushes `value`, if there is one."""
        for _ in range(count):
            self.pop()
        if value is not None:
            self.stack.append(value)

    def _append(self, items: list[object]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Opaque):
            raise ValueError

    def _set_items(self, items: list[object]) -> None:
        target = self.stack[-1]
        if isinstance(target, dict):
            # Only the hashes of texts are beyond a file's control: numbers can be chosen to collide, and
            # tuples that share their parts take forever.
            target.update((k, v) for k, v in zip(items[::2], items[1::2], strict=True) if type(k) is str)
        elif not isinstance(target, Opaque):
            raise ValueError

    def _build(self) -> None:
        """The state of what lies below it, which counts for modules that hold tensors."""
        state, target = self.pop(), self.stack[-1]
        held = state.get("_parameters") if isinstance(state, dict) else None
        if isinstance(target, dict) and isinstance(held, dict):
            target.update(held)

    def _stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError
        self.stack.append(_name(module, name))

    def _call(self) -> None:
        """REDUCE and NEWOBJ: what a call would give, without calling."""
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Name):
            self.stack.append(OPAQUE)
            return
        if not isinstance(arguments, tuple):
            raise ValueError
        self.stack.append(_result(function.full, arguments))


def _name(module: str, name: str) -> Name:
    if len(module) + len(name) > MAX_NAME:
        raise ValueError
    full = f"{_OLD_MODULES.get(module, module)}.{name}"
    if full in _UNDERSTOOD or full in _SKIPPED_NAMES or full.partition(".")[0] in _SKIPPED_PACKAGES:
        return Name(full)
    clean = "".join(c if c.isprintable() else "?" for c in full[:80])
    raise PickleRefused(
        f"it asks to run {clean}, which no checkpoint has a need of, so it may be malicious; "
        "nothing was run, delete the file or look for a .safetensors version from a source that you trust"
    )


def _result(function: str, arguments: tuple[object, ...]) -> object:
    if function in _DICTS | _HOLDERS:
        return {}  # the entries follow as SETITEMS
    if function in _TENSORS:
        return _tensor(*arguments[:4])
    if function == _PARAMETER:
        return arguments[0]
    if function == "torch.Size":
        return arguments[0]
    return [] if function == "builtins.list" and not arguments else OPAQUE


def _storage(identity: object) -> Storage | Opaque:
    """("storage", type, key, device, numel), as torch.save writes it."""
    if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
        raise ValueError
    _, kind, key, _, numel = identity
    if not isinstance(kind, Name) or not isinstance(key, str) or type(numel) is not int or numel < 0:
        raise ValueError
    dtype = STORAGE_DTYPES.get(kind.full)
    return OPAQUE if dtype is None else Storage(key, dtype, numel)


def _tensor(storage: object, offset: object, shape: object, stride: object) -> StoredTensor | Opaque:
    """A tensor that lies within its storage and has no element twice.

    A stride of 0 would make terabytes out of one number.
    """
    if isinstance(storage, Opaque):
        return OPAQUE
    if not isinstance(storage, Storage) or type(offset) is not int or offset < 0:
        raise ValueError
    shape, stride = _counts(shape), _counts(stride)
    if len(shape) != len(stride):
        raise ValueError
    numel, last = 1, offset
    for size, step in zip(shape, stride, strict=True):
        numel *= size
        last += max(size - 1, 0) * step
    if numel > storage.numel or (numel and last >= storage.numel):
        raise PickleRefused("one of its tensors is larger than the data stored for it; download it again")
    return StoredTensor(storage, offset, shape, stride)


def _counts(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple) or len(value) > MAX_DIMENSIONS:
        raise ValueError
    counts = tuple(v for v in value if type(v) is int and 0 <= v < 1 << 48)
    if len(counts) != len(value):
        raise ValueError
    return counts


# Under what programs nest the weights that count.
_NESTED = ("state_dict", "params_ema", "params", "model_state_dict", "model", "module", "generator", "net")
_OF_HYPERNETWORKS = {"layer_structure", "activation_func", "is_layer_norm"}


def find_state_dict(content: object) -> Mapping[str, object]:
    """The weights in what a checkpoint holds: all of it, a table in it, or several, named before each's.

    Raises:
        PickleRefused: there are none.
    """
    if isinstance(content, list):  # of embeddings
        content = {f"part{i}": table for i, table in enumerate(content)}
    if isinstance(content, dict):
        tables = {name: table for name, table in content.items() if isinstance(table, dict)}
        for table in (tables.get("state_dict", content), content, *(tables.get(n, {}) for n in _NESTED)):
            if any(isinstance(value, StoredTensor) for value in table.values()):
                return table
        joined = {
            f"{outer}.{name}": value
            for outer, table in tables.items()
            for name, value in table.items()
            if isinstance(value, StoredTensor)
        }
        if joined:
            return joined
        if _OF_HYPERNETWORKS & content.keys():
            raise PickleRefused(
                "it is a hypernetwork, which is not supported; look for a LoRA of the same kind"
            )
    if isinstance(content, Opaque):
        raise PickleRefused(
            "it holds a whole Python object, not a table of weights; save its state_dict instead"
        )
    raise PickleRefused("it contains no weights; choose the file with the model's weights")
