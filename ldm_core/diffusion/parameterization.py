"""What a network's output says of the noisy latent that it was given."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ldm_core.spec import Parameterization


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The two parts of x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps, each like x_t.

    Either follows from the other but at the ends: pure noise (alpha_bar = 0) is its own eps and says
    nothing of x_0.  Samplers are therefore given both.
    """

    x0: Tensor
    eps: Tensor


def prediction(
    parameterization: Parameterization,
    output: Tensor,
    x: Tensor,
    alpha: float | Tensor,
    sigma: float | Tensor,
) -> Prediction:
    """Reads a network's output as x_0 and eps.

    Args:
        output: (b, c, h, w), what the network says: eps, x_0, v = alpha eps - sigma x_0
            (Appendix D, arXiv:2202.00512), or F of eq. 7, arXiv:2206.00364, which in these variables is -v.
        x: (b, c, h, w), x_t = alpha x_0 + sigma eps.
        alpha, sigma: of one t for all, or (b, 1, 1, 1).  alpha = 0 only where the output is v or x_0.
    """
    match parameterization:
        case "eps":
            return Prediction(x0=(x - sigma * output) / alpha, eps=output)
        case "x0":
            return Prediction(x0=output, eps=(x - alpha * output) / sigma)
        case "v":
            return Prediction(x0=alpha * x - sigma * output, eps=alpha * output + sigma * x)
        case "edm":
            return Prediction(x0=alpha * x + sigma * output, eps=sigma * x - alpha * output)
