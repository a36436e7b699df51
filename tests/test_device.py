"""Which device and number format are chosen."""

from __future__ import annotations

import pytest
import torch

from ldm_core.errors import EngineError
from ldm_core.network import device as module
from ldm_core.network.device import choose, describe, is_out_of_memory


@pytest.fixture(autouse=True)
def no_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATELIER_DEVICE", raising=False)
    monkeypatch.delenv("ATELIER_DTYPE", raising=False)


def test_the_choice_is_the_same_every_time() -> None:
    assert choose() == choose()
    assert choose("cpu").max_batch == 1


@pytest.mark.parametrize(("has", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_number_format_follows_the_processor(
    monkeypatch: pytest.MonkeyPatch, has: bool, expected: torch.dtype
) -> None:
    monkeypatch.setattr(module, "_cpu_has_bfloat16", lambda: has)
    assert choose("cpu").dtype is expected


def test_arguments_stand_above_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_DTYPE", "float16")
    monkeypatch.setenv("ATELIER_DEVICE", "cpu")
    assert (choose().name, choose().dtype) == ("cpu", torch.float16)
    assert choose(dtype="float32").dtype is torch.float32
    monkeypatch.setenv("ATELIER_DEVICE", "toaster")
    assert choose("cpu").name == "cpu"


@pytest.mark.parametrize("name", ["toaster", "cuda:99", "cpu:7", "CPU", "cuda:-1", ":", "mps:3", "x" * 9999])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(EngineError, match=r"it has to be one of .*cpu\.$"):
        choose(name)


def test_an_unknown_number_format() -> None:
    with pytest.raises(EngineError, match="'int8'; it has to be one of float32, bfloat16, float16"):
        choose("cpu", "int8")


def test_description_for_a_bug_report() -> None:
    facts = describe(choose("cpu", "float32"))
    assert facts["device"].startswith("cpu (") and facts["number format"] == "float32"
    assert facts["torch"] == torch.__version__


def test_what_counts_as_out_of_memory() -> None:
    allocator = (
        "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"
    )
    for error in (MemoryError(), torch.OutOfMemoryError("x"), RuntimeError(allocator)):
        assert is_out_of_memory(error)
    for other in (ValueError("out of memory"), RuntimeError("shape '[2]' is invalid"), KeyError(1)):
        assert not is_out_of_memory(other)
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)
