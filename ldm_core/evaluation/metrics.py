"""Figures of quality."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def psnr(reference: NDArray[np.uint8], pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio of each picture, (n, h, w, 3) -> (n,) dB."""
    difference = reference.astype(np.float64) - pictures.astype(np.float64)
    error = np.maximum((difference**2).mean(axis=(1, 2, 3)), 1e-10)
    ratios: NDArray[np.float64] = 10 * np.log10(255**2 / error)
    return ratios


def frechet_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Between Gaussians fitted to two sets of features, (n, d) and (m, d).  Eq. 6, arXiv:1706.08500.

    Biased for few samples: compare only figures of equal n and m.
    """
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # The trace of (cov_a cov_b)^(1/2) is the sum of the roots of the product's eigenvalues.
    roots = np.sqrt(np.maximum(np.linalg.eigvals(cov_a @ cov_b).real, 0.0)).sum()
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * roots)
