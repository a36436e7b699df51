"""What the engine can be asked for: one file a task, and one row each in `ldm_core.tasks.table`."""

from ldm_core.tasks.base import Conditioning, Finishing, Moment, Start, Work
from ldm_core.tasks.table import check, num_steps, prepare

__all__ = ["Conditioning", "Finishing", "Moment", "Start", "Work", "check", "num_steps", "prepare"]
