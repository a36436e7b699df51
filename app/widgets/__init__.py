"""Components of our own, and their values."""
