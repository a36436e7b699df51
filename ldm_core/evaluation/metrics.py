"""Figures of quality.  Pictures are (n, h, w, 3) uint8, label maps (n, h, w) uint8."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ldm_core.request.raster import NOTHING

Pictures = NDArray[np.uint8]
Values = NDArray[np.float64]


def psnr(reference: Pictures, pictures: Pictures) -> Values:
    """Peak signal-to-noise ratio of each picture, (n,) dB."""
    difference = reference.astype(np.float64) - pictures.astype(np.float64)
    error = np.maximum((difference**2).mean(axis=(1, 2, 3)), 1e-10)
    ratios: Values = 10 * np.log10(255**2 / error)
    return ratios


def ssim(reference: Pictures, pictures: Pictures) -> Values:
    """Structural similarity of each picture's grey values, (n,) up to 1.

    Gaussian windows of 11 pixels, sigma 1.5 (Wang et al. 2004, section III).
    """
    pairs = zip(reference, pictures, strict=True)
    return np.array([_ssim(_grey(a), _grey(b)) for a, b in pairs], np.float64)


def _grey(picture: Pictures) -> Values:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float64)


def _ssim(a: Values, b: Values) -> float:
    def local(x: Values) -> Values:
        return np.asarray(cv2.GaussianBlur(x, (11, 11), 1.5), np.float64)[5:-5, 5:-5]

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = local(a), local(b)
    var_a, var_b = local(a * a) - mean_a**2, local(b * b) - mean_b**2
    covariance = local(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (var_a + var_b + c2)
    return float((luminance * structure).mean())


def edge_energy(pictures: Pictures, bands: int = 4) -> Values:
    """Mean size of the differences between a picture's grey values and the same ones blurred, by octave.

    The bands of a Laplacian pyramid (Burt and Adelson 1983), the finest first: (n, bands).
    """

    def energies(grey: Values) -> list[float]:
        found = []
        for _ in range(bands):
            small = cv2.pyrDown(grey)
            found.append(float(np.abs(grey - cv2.pyrUp(small, dstsize=grey.shape[::-1])).mean()))
            grey = np.asarray(small, np.float64)
        return found

    return np.array([energies(_grey(picture)) for picture in pictures], np.float64)


def spread(features: Values, group: int) -> float:
    """Mean distance between the members of a group; features (n, d), group after group."""
    groups = features.reshape(-1, group, features.shape[1])
    return float(np.mean([_distances(rows, rows).sum() / (group * (group - 1)) for rows in groups]))


def frechet_distance(a: Values, b: Values) -> float:
    """Between Gaussians fitted to two sets of features, (n, d) and (m, d).  Eq. 6, arXiv:1706.08500.

    Biased for few samples, and fewer than d have singular covariances: compare only figures of equal n and m.
    """
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # The trace of (cov_a cov_b)^(1/2) is the sum of the roots of the product's eigenvalues.
    roots = np.sqrt(np.maximum(np.linalg.eigvals(cov_a @ cov_b).real, 0.0)).sum()
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * roots)


def precision_recall(real: Values, made: Values, k: int = 3) -> tuple[float, float]:
    """Share of made pictures that lie among the real ones, and of real ones among the made.

    Features (n, d) and (m, d); a set's region is every point's ball up to its k-th neighbour
    (arXiv:1904.06991, section 2).
    """
    return _covered(made, real, k), _covered(real, made, k)


def _covered(points: Values, by: Values, k: int) -> float:
    radii = np.sort(_distances(by, by), axis=1)[:, min(k, len(by) - 1)]  # column 0 is the point itself
    return float((_distances(points, by) <= radii).any(axis=1).mean())


def _distances(a: Values, b: Values) -> Values:
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0.0))


def nearest(features: Values, among: Values) -> tuple[NDArray[np.int64], Values]:
    """For each of (n, d): which of (m, d) is nearest, and how far."""
    distances = _distances(features, among)
    return distances.argmin(axis=1), distances.min(axis=1)


def mean_iou(wanted: NDArray[np.uint8], seen: NDArray[np.uint8], num_classes: int) -> float:
    """Intersection over union of each class over all maps, averaged over the classes that were wanted."""
    counted = wanted != NOTHING
    pairs = wanted[counted].astype(np.int64) * num_classes + seen[counted]
    confusion = np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
    union = confusion.sum(0) + confusion.sum(1) - confusion.diagonal()
    asked = confusion.sum(1) > 0
    return float((confusion.diagonal()[asked] / union[asked]).mean())


def box_found(box: tuple[float, float, float, float], of_class: NDArray[np.bool_]) -> bool:
    """Whether the pixels of a class, (h, w), fill a box (x0, y0, x1, y1 in [0, 1]) about as it says.

    What lies within the box grown by a quarter has to have a bounding box of an IoU of 0.5 or more with it.
    """
    h, w = of_class.shape
    x0, y0, x1, y1 = box[0] * w, box[1] * h, box[2] * w, box[3] * h
    dx, dy = (x1 - x0) / 8 + 1, (y1 - y0) / 8 + 1
    left, top = max(0, round(x0 - dx)), max(0, round(y0 - dy))
    ys, xs = np.nonzero(of_class[top : round(y1 + dy), left : round(x1 + dx)])
    if not len(xs):
        return False
    found = left + xs.min(), top + ys.min(), left + xs.max() + 1, top + ys.max() + 1
    width = min(x1, found[2]) - max(x0, found[0])
    height = min(y1, found[3]) - max(y0, found[1])
    both = max(width, 0.0) * max(height, 0.0)
    either = (x1 - x0) * (y1 - y0) + (found[2] - found[0]) * (found[3] - found[1]) - both
    return bool(both >= 0.5 * either)


def seam(picture: Pictures, mask: NDArray[np.bool_]) -> float:
    """Mean step of colour, 0..255, between neighbours on the two sides of a mask's border, (h, w, 3), (h, w).

    To be compared with the same figure of the original picture.
    """
    x = picture.astype(np.float64)
    steps = [np.abs(np.diff(x, axis=axis)).mean(axis=2)[np.diff(mask, axis=axis)] for axis in (0, 1)]
    return float(np.concatenate(steps).mean())


def border_error(reference: Pictures, picture: Pictures, mask: NDArray[np.bool_], width: int = 4) -> float:
    """Mean error of colour, 0..255, in the part of a mask (h, w) that is at most `width` pixels inside it."""
    outside = cv2.dilate((~mask).astype(np.uint8), np.ones((2 * width + 1, 2 * width + 1), np.uint8)) > 0
    error = np.abs(picture.astype(np.float64) - reference)
    return float(error[mask & outside].mean())
