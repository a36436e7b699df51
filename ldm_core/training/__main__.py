"""`torchrun --nproc-per-node N -m ldm_core.training CONFIG --out DIR`: the same command on several GPUs."""

import sys

from ldm_core.training.cli import main

main(sys.argv[1:])
