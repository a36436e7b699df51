"""What the engine can be asked for.  A new task is a class as in `base.Task` and a line here."""

from __future__ import annotations

from collections.abc import Mapping

from ldm_core.tasks.base import Conditioning, Start, Task
from ldm_core.tasks.text import TextTask

__all__ = ["TASKS", "Conditioning", "Start", "Task"]

TASKS: Mapping[str, Task] = {"text-to-image": TextTask()}
