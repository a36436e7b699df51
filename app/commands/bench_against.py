"""Our networks beside diffusers' own: the same weights in memory, turn about in one process."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from app.commands.bench_load import timed
from ldm_core.conditioners import ClipSpec
from ldm_core.errors import AtelierError
from ldm_core.model_spec import ModelSpec
from ldm_core.spec import AutoencoderSpec, ClipTower, ScheduleSpec, UNetSpec

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from torch import Tensor

    from ldm_core.network.latent_diffusion import LatentDiffusion

    Pairs = Mapping[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]]  # ours and theirs

Rows = tuple[tuple[str, str, str], ...]  # a figure's name, its title and its unit

AGAINST_ROWS: Rows = (
    ("unet_seconds", "UNet, two latents of 64 x 64", "s"),
    ("diffusers_unet_seconds", "  diffusers", "s"),
    ("unet_ratio", "  ours as much as diffusers, of the process's time", "times"),
    ("decode_seconds", "Decoding one picture of 512 x 512", "s"),
    ("diffusers_decode_seconds", "  diffusers", "s"),
    ("decode_ratio", "  ours as much as diffusers, of the process's time", "times"),
    ("largest_difference", "Largest difference, relative to the largest value", ""),
)
CELLS, BATCH = 64, 2
STABLE_DIFFUSION_1 = ModelSpec(
    first_stage=AutoencoderSpec(3, 3, 128, (1, 2, 4, 4), 2, (), 256, z_channels=4, embed_dim=4),
    unet=UNetSpec(4, 4, 320, (1, 2, 4, 4), 2, (1, 2, 4), context_dim=768, num_heads=8),
    conditioners=(ClipSpec((ClipTower(768, 1, 12, 3072, 100, 77, open_clip=False),)),),
    schedule=ScheduleSpec(1000, 0.00085, 0.012),
    parameterization="eps",
    scale_factor=0.18215,
)


def against_diffusers(
    spec: ModelSpec, device: str | None, dtype: str | None, runs: int, cells: int = CELLS
) -> dict[str, float]:
    """The figures of `AGAINST_ROWS`, medians of so many runs, with random weights.

    Weights are channels-last, with which diffusers, too, is at its best on a CPU.  Ratios are of the
    process's own time, so that other work on the machine counts little.

    Args:
        spec: of the shape of Stable Diffusion 1; what its text encoder is does not matter.
        dtype: None is what the device computes in by default.

    Raises:
        AtelierError: diffusers is not installed, or there is no such device.
    """
    try:
        import diffusers  # noqa: F401
    except ImportError:
        raise AtelierError(
            "diffusers is not installed. It comes with what the tests need: run "
            "`python launch.py test` once, or `pip install diffusers`."
        ) from None
    import torch

    from ldm_core.conditioners import Cond
    from ldm_core.network import device as devices
    from ldm_core.network.memory import keep_freed_blocks

    keep_freed_blocks()  # for both
    chosen = devices.choose(device, dtype)
    model = _random_model(spec, chosen.name, chosen.dtype)
    their_unet, their_vae = _their_unet(model), _their_vae(model)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, 4, cells, cells, generator=generator)
    context = torch.randn(BATCH, 77, spec.unet.context_dim, generator=generator)
    t = torch.full((BATCH,), 500)
    cond = Cond(context=context)
    their_x = x.to(chosen.name, chosen.dtype, memory_format=torch.channels_last)
    their_context, their_z = context.to(chosen.name, chosen.dtype), their_x[:1] / model.scale_factor

    pairs: Pairs = {
        "unet": (
            lambda: model.output(x, t, cond).cpu(),
            lambda: their_unet(their_x, t.to(chosen.name), their_context).sample.float().cpu(),
        ),
        "decode": (
            lambda: model.decode(x[:1]).cpu(),
            lambda: their_vae.decode(their_z).sample.float().cpu(),
        ),
    }
    with torch.inference_mode():
        return _compared(pairs, runs)


def _compared(pairs: Pairs, runs: int) -> dict[str, float]:
    figures = {"largest_difference": 0.0}
    for name, (ours, theirs) in pairs.items():
        a, b = ours(), theirs()  # not timed, to warm up
        difference = float((a - b).abs().max() / b.abs().max())
        figures["largest_difference"] = max(figures["largest_difference"], difference)
        rows = [(timed(ours), timed(theirs)) for _ in range(runs)]
        for whose, side in (("", 0), ("diffusers_", 1)):
            figures[f"{whose}{name}_seconds"] = statistics.median(row[side][0] for row in rows)
        medians = [statistics.median(row[side][1] for row in rows) for side in (0, 1)]
        figures[f"{name}_ratio"] = medians[0] / medians[1]
    return figures


def _random_model(spec: ModelSpec, device: str, dtype: torch.dtype) -> LatentDiffusion:
    import torch

    from ldm_core.network.latent_diffusion import LatentDiffusion
    from ldm_core.network.weights import fill

    model = LatentDiffusion.without_weights(spec)
    generator = torch.Generator().manual_seed(0)

    def weights() -> Iterator[tuple[str, Tensor]]:
        for name, tensor in model.state_dict().items():
            scale = max(tensor[0].numel(), 1) ** -0.5 if tensor.dim() > 1 else 0.1
            yield name, torch.randn(tensor.shape, generator=generator) * scale

    return fill(model, weights(), device, dtype)


def _their_unet(model: LatentDiffusion) -> UNet2DConditionModel:
    """diffusers' module around our tensors."""
    import torch
    from diffusers import UNet2DConditionModel
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    spec = model.spec.unet
    assert isinstance(spec, UNetSpec)
    attends = [2**level in spec.attention_resolutions for level in range(len(spec.channel_mult))]
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            block_out_channels=tuple(mult * spec.model_channels for mult in spec.channel_mult),
            layers_per_block=spec.num_res_blocks,
            down_block_types=tuple("CrossAttnDownBlock2D" if on else "DownBlock2D" for on in attends),
            up_block_types=tuple(
                "CrossAttnUpBlock2D" if attention else "UpBlock2D" for attention in attends[::-1]
            ),
            cross_attention_dim=spec.context_dim,
            attention_head_dim=spec.num_heads,
        )
    unet.load_state_dict(convert_ldm_unet_checkpoint(dict(model.state_dict()), unet.config), assign=True)
    return unet.eval()


def _their_vae(model: LatentDiffusion) -> AutoencoderKL:
    """diffusers' module around our tensors."""
    import torch
    from diffusers import AutoencoderKL
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    spec = model.spec.first_stage
    levels = len(spec.channel_mult)
    with torch.device("meta"):
        vae = AutoencoderKL(
            block_out_channels=tuple(mult * spec.channels for mult in spec.channel_mult),
            layers_per_block=spec.num_res_blocks,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            latent_channels=spec.z_channels,
        )
    vae.load_state_dict(convert_ldm_vae_checkpoint(dict(model.state_dict()), vae.config), assign=True)
    return vae.eval()
