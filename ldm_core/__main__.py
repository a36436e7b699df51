"""`python -m ldm_core`: what this library is, and where to begin."""

from __future__ import annotations

import ldm_core

_COMMANDS = """
python -m ldm_core.training CONFIG --out DIR    trains a first stage or a diffusion model
python -m ldm_core.evaluation MODEL             measures one
"""

if __name__ == "__main__":
    print(ldm_core.__doc__, _COMMANDS, sep="")  # noqa: T201
