"""A05, B06, D15, F12: what `python -m tests.fuzz --nightly` does through a night, for a moment."""

from __future__ import annotations

import pytest

from tests.fuzz import CI, KINDS, fuzz


@pytest.mark.parametrize("kind", KINDS)
def test_mutations_are_read_or_refused_with_a_sentence(kind: str) -> None:
    read, refused = fuzz(kind, CI)
    assert refused and read + refused >= CI
