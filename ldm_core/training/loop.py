"""The loop around every training: time, learning rate, logs, checkpoints."""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from ldm_core.errors import FileError
from ldm_core.network.device import choose
from ldm_core.training.parallel import ALONE, Processes

_CHECKPOINT_AGE = 300.0  # seconds


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """steps: updates in all.  The learning rate rises over `warmup` steps, stays, and falls to zero over
    the last `cooldown` share of the steps.  The other figures are intervals in steps; a checkpoint is also
    written when the last one is five minutes old."""

    steps: int
    learning_rate: float
    warmup: int = 100
    cooldown: float = 0.3
    log_every: int = 50
    sample_every: int = 1000
    checkpoint_every: int = 500

    def rate(self, step: int) -> float:
        left = (self.steps - step) / max(1.0, self.cooldown * self.steps)
        return self.learning_rate * min(1.0, (step + 1) / self.warmup, left)


class Trainable(Protocol):
    """One training.  All randomness comes from the step's number, so resuming is exact."""

    def update(self, step: int, learning_rate: float) -> dict[str, float]:
        """One optimiser step; returns losses for the log."""

    def samples(self) -> NDArray[np.uint8]:
        """A sheet (h, w, 3) to look at."""

    def state_dict(self) -> dict[str, object]:
        """Everything that `update` changes."""

    def load_state_dict(self, state: dict[str, object]) -> None: ...

    def export(self, folder: Path) -> None:
        """Writes what the program loads."""


def precision(device: torch.device) -> AbstractContextManager[None]:
    """Mixed precision where the device computes in bfloat16; weights and optimiser stay in float32."""
    mixed = choose(str(device)).dtype == torch.bfloat16
    return torch.autocast(device.type, torch.bfloat16, enabled=mixed)


def step_generator(seed: int, step: int) -> torch.Generator:
    """Randomness on the CPU that depends on the seed and the step alone."""
    mixed = int(np.random.default_rng([seed, step]).integers(2**62))
    return torch.Generator().manual_seed(mixed)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, step: int, decay: float) -> None:
    """Exponential moving average of the weights, faster at the start."""
    weight = 1.0 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), weight)


def write_atomically(path: Path, state: dict[str, object]) -> None:
    """A kill at any moment leaves the old file or the new one."""
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


class Log:
    """Losses and samples as TensorBoard files, where tensorboard is installed."""

    def __init__(self, folder: Path | None) -> None:
        self._writer = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError:
            print("tensorboard is not installed: no log files are written.")
        else:
            self._writer = SummaryWriter(str(folder))

    def losses(self, losses: dict[str, float], step: int) -> None:
        if self._writer is not None:
            for name, value in losses.items():
                self._writer.add_scalar(name, value, step)

    def sheet(self, picture: NDArray[np.uint8], step: int) -> None:
        if self._writer is not None:
            self._writer.add_image("samples", picture, step, dataformats="HWC")

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def run(
    task: Trainable,
    settings: LoopSettings,
    out: Path,
    minutes: float | None,
    resume: bool,
    processes: Processes = ALONE,
) -> int:
    """Trains until the steps are done or the minutes are over; returns the number of steps done.

    Of several processes the first one writes all files.

    Raises:
        FileError: `out` holds a checkpoint and `resume` was not asked for, or the reverse.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    done = 0
    if checkpoint.exists() != resume:
        raise FileError(
            f"{out} holds no checkpoint to resume; leave out --resume."
            if resume
            else f"{out} already holds a checkpoint; add --resume to go on, or choose another folder."
        )
    if resume:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        task.load_state_dict(state["task"])
        done = state["step"]

    def save() -> None:
        if processes.first:
            write_atomically(checkpoint, {"task": task.state_dict(), "step": done})

    saved = time.monotonic()
    log = Log(out if processes.first else None)
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    with tqdm(total=settings.steps, initial=done, desc=out.name, mininterval=5.0) as bar:
        while done < settings.steps and not processes.any(
            deadline is not None and time.monotonic() > deadline
        ):
            losses = task.update(done, settings.rate(done))
            done += 1
            bar.update()
            if done % settings.log_every == 0:
                losses = processes.mean(losses)
                log.losses(losses, done)
                bar.set_postfix({name: f"{value:.4f}" for name, value in losses.items()}, refresh=False)
            if done % settings.sample_every == 0 and processes.first:
                log.sheet(task.samples(), done)
            if done % settings.checkpoint_every == 0 or time.monotonic() - saved > _CHECKPOINT_AGE:
                save()
                saved = time.monotonic()
    save()
    if processes.first:
        log.sheet(task.samples(), done)
        task.export(out)
    log.close()
    processes.wait()
    return done
