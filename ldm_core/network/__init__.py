"""The whole model in memory: weights, number format, large pictures in tiles, quick previews."""
