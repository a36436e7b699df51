"""Adapters of LyCORIS' kinds: the weights that they give are those of LyCORIS' own merging."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lycoris.modules import (
    ButterflyOFTModule,
    DiagOFTModule,
    FullModule,
    IA3Module,
    LoConModule,
    LohaModule,
    LokrModule,
    LycorisBaseModule,
    NormModule,
)
from safetensors.torch import save_file
from torch import Tensor, nn

from ldm_core.errors import ModelError
from ldm_core.formats import load_model
from ldm_core.formats.adapter_files import read_adapter
from ldm_core.formats.identify import identify
from ldm_core.network.adapters import Applied, adapted
from ldm_core.network.latent_diffusion import LatentDiffusion
from tests.stable_diffusion import SD1, write

# A module of each kind -> kohya's stem, in the diffusers spelling.
MODULES = {
    "linear": (
        "model.diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q",
        "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q",
    ),
    "conv": (
        "model.diffusion_model.input_blocks.1.0.in_layers.2",
        "lora_unet_down_blocks_0_resnets_0_conv1",
    ),
    "norm": (
        "model.diffusion_model.input_blocks.1.0.in_layers.0",
        "lora_unet_down_blocks_0_resnets_0_norm1",
    ),
}
Make = Callable[[nn.Module], LycorisBaseModule]
KINDS: dict[str, tuple[str, Make]] = {
    "LoCon": ("conv", lambda m: LoConModule("x", m, lora_dim=4, alpha=2.0)),
    "LoCon, Tucker": ("conv", lambda m: LoConModule("x", m, lora_dim=4, alpha=2.0, use_tucker=True)),
    "DoRA": ("linear", lambda m: LoConModule("x", m, lora_dim=4, alpha=2.0, weight_decompose=True)),
    "DoRA, conv": ("conv", lambda m: LoConModule("x", m, lora_dim=4, weight_decompose=True)),
    "DoRA, columns": (
        "linear",
        lambda m: LoConModule("x", m, lora_dim=4, weight_decompose=True, wd_on_out=False),
    ),
    "rsLoRA": ("linear", lambda m: LoConModule("x", m, lora_dim=4, alpha=2.0, rs_lora=True)),
    "LoHa": ("linear", lambda m: LohaModule("x", m, lora_dim=4, alpha=2.0)),
    "LoHa, conv": ("conv", lambda m: LohaModule("x", m, lora_dim=4, alpha=2.0)),
    "LoHa, Tucker": ("conv", lambda m: LohaModule("x", m, lora_dim=4, alpha=2.0, use_tucker=True)),
    "LoHa, DoRA": ("conv", lambda m: LohaModule("x", m, lora_dim=4, weight_decompose=True)),
    "LoKr": ("linear", lambda m: LokrModule("x", m, lora_dim=2, alpha=1.0)),
    "LoKr, conv": ("conv", lambda m: LokrModule("x", m, lora_dim=2, alpha=1.0, factor=4)),
    "LoKr, Tucker": ("conv", lambda m: LokrModule("x", m, lora_dim=2, alpha=1.0, use_tucker=True)),
    "LoKr, both low": ("linear", lambda m: LokrModule("x", m, lora_dim=1, decompose_both=True)),
    "LoKr, whole": ("linear", lambda m: LokrModule("x", m, lora_dim=100_000, alpha=7.0)),
    "LoKr, DoRA": ("linear", lambda m: LokrModule("x", m, lora_dim=2, weight_decompose=True)),
    "(IA)^3": ("linear", lambda m: IA3Module("x", m)),
    "(IA)^3, conv": ("conv", lambda m: IA3Module("x", m)),
    "(IA)^3, inputs": ("linear", lambda m: IA3Module("x", m, train_on_input=True)),
    "full": ("conv", lambda m: FullModule("x", m)),
    "norm": ("norm", lambda m: NormModule("x", m)),
    "OFT": ("linear", lambda m: DiagOFTModule("x", m, lora_dim=8, rescaled=True)),
    "OFT, constrained": ("conv", lambda m: DiagOFTModule("x", m, lora_dim=8, constraint=0.01)),
    "BOFT": ("linear", lambda m: ButterflyOFTModule("x", m, lora_dim=8, rescaled=True)),
    "BOFT, conv": ("conv", lambda m: ButterflyOFTModule("x", m, lora_dim=4, constraint=0.05)),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LatentDiffusion:
    path, _ = write(tmp_path_factory.mktemp("model"), SD1)
    found = load_model(path)
    assert isinstance(found, LatentDiffusion)
    return found


def randomized(module: LycorisBaseModule) -> LycorisBaseModule:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "dora_scale" in name or "rescale" in name:
                parameter.mul_(1 + 0.3 * torch.rand(parameter.shape, generator=generator))
            else:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return module


def merged(module: LycorisBaseModule, weight: Tensor) -> tuple[Tensor, Tensor | None]:
    """Its weights at strength 1."""
    if not isinstance(module, LohaModule | LokrModule):
        return module.get_merged_weight(multiplier=1.0, shape=weight.shape)
    # What it trains with; its merging has alpha / rank in it twice.
    whole = weight + module.get_weight(weight.shape)
    return (module.apply_weight_decompose(whole) if module.wd else whole), None


def plain(module: nn.Module) -> nn.Module:
    """The same layer with weights of its own, that may be trained."""
    made: nn.Module
    if isinstance(module, nn.Linear):
        made = nn.Linear(module.in_features, module.out_features, bias=module.bias is not None)
    elif isinstance(module, nn.GroupNorm):
        made = nn.GroupNorm(module.num_groups, module.num_channels)
    else:
        assert isinstance(module, nn.Conv2d)
        made = nn.Conv2d(module.in_channels, module.out_channels, 3, padding=1)
    made.load_state_dict(module.state_dict())
    return made


def tensors_of(module: LycorisBaseModule) -> dict[str, Tensor]:
    state = module.custom_state_dict() or module.state_dict()
    return {
        name: tensor.detach().clone().contiguous() for name, tensor in state.items() if tensor is not None
    }


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_those_of_lycoris(kind: str, model: LatentDiffusion, tmp_path: Path) -> None:
    layer, make = KINDS[kind]
    place, stem = MODULES[layer]
    base = plain(model.get_submodule(place))
    theirs = make(base)
    own = base.weight.detach().clone()  # type: ignore[operator]
    if isinstance(theirs, FullModule):
        theirs.apply_to()  # from here on it holds whole weights, which its file is the differences of
    weight, bias = merged(randomized(theirs), own)
    path = tmp_path / "one.safetensors"
    save_file({f"{stem}.{name}": tensor for name, tensor in tensors_of(theirs).items()}, path)
    assert not identify(path).problem and identify(path).kind == "LoRA"
    adapter, unmatched = read_adapter(path, "one", model, model.spec)
    assert not unmatched
    ours = adapted(model, [Applied(adapter)]).get_submodule(place)
    own = model.get_submodule(place)
    assert (ours.weight - weight).abs().max() < 1e-5  # type: ignore[operator]
    assert (ours.weight - own.weight).abs().max() > 1e-3  # type: ignore[operator]
    if bias is not None:
        assert (ours.bias - bias).abs().max() < 1e-5  # type: ignore[operator]
    half = adapted(model, [Applied(adapter, 0.5)]).get_submodule(place)
    between = own.weight + 0.5 * (ours.weight - own.weight)  # type: ignore[operator]
    assert (half.weight - between).abs().max() < 1e-5  # type: ignore[operator]


def test_what_is_wrong_with_an_adapter_names_its_place(model: LatentDiffusion, tmp_path: Path) -> None:
    _, stem = MODULES["linear"]
    down, up = torch.ones(4, 128), torch.ones(128, 4)
    good = {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
    path = tmp_path / "x.safetensors"
    for change, told in (
        ({f"{stem}.alpha": torch.tensor(1e9)}, stem),
        ({f"{stem}.alpha": torch.tensor(float("nan"))}, "alpha"),
        ({f"{stem}.lora_up.weight": torch.ones(128, 3)}, "attn1.to_q"),
    ):
        save_file(good | change, path)
        with pytest.raises(ModelError, match=told):
            adapted(model, [Applied(read_adapter(path, "x", model, model.spec)[0])])


def test_embeddings_in_a_lora_are_told_and_leave_it_usable(model: LatentDiffusion, tmp_path: Path) -> None:
    _, stem = MODULES["linear"]
    path = tmp_path / "x.safetensors"
    weights = {f"{stem}.lora_down.weight": torch.ones(4, 128), f"{stem}.lora_up.weight": torch.ones(128, 4)}
    save_file(weights | {"bundle_emb.mine.string_to_param.*": torch.ones(2, 64)}, path)
    adapter, unmatched = read_adapter(path, "x", model, model.spec)
    assert len(adapter.patches) == 1 and unmatched == ("the embedding mine",)
    assert identify(path).kind == "LoRA" and not identify(path).problem
