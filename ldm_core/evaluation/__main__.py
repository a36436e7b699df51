"""`python -m ldm_core.evaluation MODEL`: the figures of a model."""

import sys

from ldm_core.evaluation.cli import main

main(sys.argv[1:])
