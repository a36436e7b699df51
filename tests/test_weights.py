"""A checkpoint's tensors in a module that was made without any."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ldm_core.errors import WeightsError
from ldm_core.network.weights import IGNORED, fill, places, with_weights, without_weights


class Two(nn.Module):
    """A convolution under the UNet's name, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.ModuleDict({"conv": nn.Conv2d(2, 3, 3)})
        self.head = nn.Linear(3, 2, bias=False)
        nn.init.zeros_(self.head.weight)


def made() -> Two:
    with without_weights():
        return Two()


def weights(value: float = 1.0) -> dict[str, Tensor]:
    shapes = {"model.conv.weight": (3, 2, 3, 3), "model.conv.bias": (3,), "head.weight": (2, 3)}
    return {name: torch.full(shape, value) for name, shape in shapes.items()}


def refused(changed: dict[str, Tensor]) -> str:
    with pytest.raises(WeightsError) as caught:
        places(made(), changed)
    return str(caught.value)


def test_a_module_without_weights_takes_no_memory_and_then_holds_the_checkpoints() -> None:
    empty = made()
    assert all(tensor.is_meta for tensor in empty.state_dict().values())
    full = with_weights(empty, weights(), "cpu", torch.float32)
    assert full is empty and not full.training
    for name, parameter in full.named_parameters():
        assert torch.equal(parameter, weights()[name]) and not parameter.requires_grad
    assert full.model["conv"].weight.is_contiguous(memory_format=torch.channels_last)
    assert full.model["conv"](torch.ones(1, 2, 3, 3)).tolist() == [[[[19.0]], [[19.0]], [[19.0]]]]


@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("wanted", [torch.float32, torch.float16, torch.bfloat16])
def test_tensors_are_converted_and_some_kept_in_float32(stored: torch.dtype, wanted: torch.dtype) -> None:
    tensors = [(name, tensor.to(stored) / 3) for name, tensor in weights().items()]
    full = fill(made(), tensors, "cpu", wanted, in_float32=("head.",))
    assert full.model["conv"].weight.dtype == wanted and full.head.weight.dtype == torch.float32
    rounded = torch.tensor(1.0, dtype=stored) / 3
    assert full.model["conv"].weight.unique().tolist() == [float(rounded.to(wanted))]
    assert full.head.weight.unique().tolist() == [float(rounded)]
    assert full.model["conv"].weight.is_contiguous(memory_format=torch.channels_last)


def test_moving_averages_take_the_place_of_weights() -> None:
    averages = {"model_ema.convweight": torch.zeros(3, 2, 3, 3), "model_ema.decay": torch.ones(())}
    assert places(made(), weights() | averages) == {
        "model_ema.convweight": "model.conv.weight",
        "model.conv.bias": "model.conv.bias",
        "head.weight": "head.weight",
    }
    assert places(made(), averages | weights())["model_ema.convweight"] == "model.conv.weight"
    del (alone := weights() | averages)["model.conv.weight"]
    assert "model_ema.convweight" in places(made(), alone)


def test_what_does_not_fit_is_named() -> None:
    start = "The checkpoint does not fit its description. "
    missing = {name: tensor for name, tensor in weights().items() if name != "head.weight"}
    assert refused(missing) == f"{start}1 tensors are missing: head.weight."
    extra = {f"extra.{i}": torch.zeros(1) for i in range(6)}
    assert refused(weights() | extra) == (
        f"{start}6 tensors are not part of this architecture: extra.0, extra.1, extra.2, extra.3, extra.4, …."
    )
    five = dict(list(extra.items())[:5])
    assert "extra.4." in refused(weights() | five) and "…" not in refused(weights() | five)
    assert refused(weights() | {"head.weight": torch.zeros(3, 2)}) == (
        f"{start}1 tensors have another shape: head.weight has shape [3, 2], expected [2, 3]."
    )
    average = {"model_ema.convbias": torch.zeros(4)}
    assert "model.conv.bias has shape [4], expected [3]" in refused(weights() | average)
    both = refused(missing | five)
    assert both.index("missing") < both.index("not part of") and ". 5 tensors" in both


def test_what_no_picture_needs_is_left_alone() -> None:
    assert set(IGNORED) >= {"betas", "loss.", "model_ema.", "logvar"}
    for name in ("betas", "sqrt_alphas_cumprod", "first_stage_model.loss.x", "scale_factor", "v_pred",
                 "cond_stage_model.x", "low_scale_model.x", "denoiser.sigmas", "ztsnr", "lvlb_weights",
                 "posterior_variance", "log_one_minus_alphas_cumprod", "alphas_cumprod", "loss.logvar",
                 "logvar", "model_ema.num_updates", "edm_mean", "edm_std",
                 "edm_vpred.sigma_max"):  # fmt: skip
        assert set(places(made(), weights() | {name: torch.zeros(1)})) == set(weights())
    # What the scripts of other programs leave beside a model.
    for name in ("safety_checker.concept_embeds", "feature_extractor.mean", "denoiser.weighting",
                 "logit_scale", "text_projection", "position_ids", "embedding_manager.x",
                 "cond_stage_model.logit_scale",
                 "cond_stage_model.text_projection", "conditioner.embedders.0.logit_scale",
                 "conditioner.embedders.1.logit_scale"):  # fmt: skip
        assert set(places(made(), weights() | {name: torch.zeros(1)})) == set(weights())
    conditioned = nn.ModuleDict({"cond_stage_model": nn.Linear(1, 1)})
    beside = {
        "cond_stage_model.logit_scale": torch.zeros(1),
        "cond_stage_model.text_projection": torch.zeros(1),
    }
    assert set(places(conditioned, {**conditioned.state_dict(), **beside})) == set(conditioned.state_dict())
    with pytest.raises(WeightsError, match=r"not part of this architecture: cond_stage_model\.x"):
        places(conditioned, {**conditioned.state_dict(prefix=""), "cond_stage_model.x": torch.zeros(1)})
    unread = {**conditioned.state_dict(), "cond_stage_model.transformer.to_logits.x": torch.zeros(1)}
    assert set(places(conditioned, unread)) == set(conditioned.state_dict())
