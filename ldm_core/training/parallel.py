"""One training on several GPUs or machines: `torchrun --nproc-per-node N launch.py train ...`.

Every process computes its part of each batch; torch's DistributedDataParallel averages the gradients.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True, slots=True)
class Processes:
    """This process's number, 0 .. count - 1, among those that train together."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """The process that writes files and makes caches."""
        return self.rank == 0

    def rank_part(self, batch: Tensor, parts: int = 1, part: int = 0) -> Tensor:
        """Of a whole batch (b * count * parts, ...), what this process computes in its `part`-th turn."""
        return batch.chunk(self.count * parts)[self.rank * parts + part]

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over the processes."""
        return module if self.count == 1 else DistributedDataParallel(module)

    def wait(self) -> None:
        """For all processes."""
        if self.count > 1:
            dist.barrier()

    def any(self, value: bool) -> bool:
        """Whether it holds in one of the processes, so that all stop together."""
        return self.mean({"value": float(value)})["value"] > 0

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Of every process's values."""
        if self.count == 1:
            return values
        total = torch.tensor(list(values.values()), dtype=torch.float64)
        dist.all_reduce(total)
        return dict(zip(values, (total / self.count).tolist(), strict=True))


ALONE = Processes()


def gathering(module: nn.Module, last: bool) -> AbstractContextManager[None]:
    """Around a backward pass: gradients travel between processes in the last one of a step alone."""
    if isinstance(module, DistributedDataParallel) and not last:
        quiet: AbstractContextManager[None] = module.no_sync()
        return quiet
    return nullcontext()


def join(device: str) -> tuple[Processes, torch.device]:
    """Meets the other processes where torchrun has started this one; the device that is this one's."""
    if "RANK" not in os.environ:
        return ALONE, torch.device(device)
    # Gloo beside NCCL: small values are averaged on the CPU.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
    chosen = torch.device(device, int(os.environ["LOCAL_RANK"])) if device == "cuda" else torch.device(device)
    return Processes(dist.get_rank(), dist.get_world_size()), chosen
