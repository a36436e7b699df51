"""Compares the engine with what the reference implementation of the paper computes.

    python -m tests.golden CASE [CASE ...]
        [--format ckpt|lightning|safetensors] [--no-config] [--corrupt NAME]

CASE is a folder of the golden collection, or its path below it ("small/txt2img_1p4B").  The checkpoint is
made in a temporary folder, loaded by the engine's public loader and run through its public interface.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.numpy import save_file
from safetensors.torch import load_file
from torch import Tensor

from ldm_core.conditioners import Cond, Inputs
from ldm_core.diffusion.guidance import guided
from ldm_core.diffusion.samplers import FUNCTIONS
from ldm_core.diffusion.schedule import timesteps
from ldm_core.errors import AtelierError
from ldm_core.formats import load_model
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.nn.autoencoder import AutoencoderKL, AutoencoderVQ, FirstStage

ROOT = Path(__file__).resolve().parent.parent
TOLERANCE, TOLERANCE_SAMPLED = 1e-4, 1e-3
GUIDANCE = 4.0
FORMATS = {
    "ckpt": (".ckpt", ()),
    "lightning": (".ckpt", ("--lightning",)),
    "safetensors": (".safetensors", ()),
}


def shared_folder() -> Path | None:
    """The folder with golden cases and other shared material, or None where it is not there."""
    folder = Path(os.environ.get("ATELIER_SHARED", ROOT.parent / "shared"))
    return folder if (folder / "golden" / "weights.py").is_file() else None


@dataclass(frozen=True, slots=True)
class Line:
    """A tensor's comparison; `error` is ||out - ref|| / ||ref||."""

    name: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance  # NaN does not pass


class Golden:
    """The tensors of a case; remembers which were used as inputs or checked."""

    def __init__(self, path: Path, corrupt: str | None) -> None:
        self._tensors = load_file(path)
        self._untouched = set(self._tensors)
        if corrupt is not None:
            if corrupt not in self._tensors:
                raise SystemExit(f"{path.parent.name} has no tensor {corrupt!r}")
            self._tensors[corrupt] = _corrupted(self._tensors[corrupt])

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    @property
    def untouched(self) -> list[str]:
        return sorted(self._untouched)

    def use(self, name: str) -> Tensor:
        self._untouched.discard(name)
        return self._tensors[name]

    def check(self, name: str, got: Tensor, tolerance: float = TOLERANCE) -> Iterator[Line]:
        """Compares, where the case has such a tensor."""
        if name in self:
            expected = self.use(name).double()
            if got.shape != expected.shape:
                yield Line(name, float("inf"), tolerance)
            else:
                yield Line(name, float((got.double() - expected).norm() / expected.norm()), tolerance)

    def check_indices(self, name: str, got: Tensor) -> Iterator[Line]:
        """Compares whole numbers, where the case has such a tensor; the error is the share of wrong ones."""
        if name in self:
            expected = self.use(name).long()
            same = got.flatten() == expected if got.numel() == expected.numel() else torch.zeros(1)
            yield Line(name, 1.0 - float(same.float().mean()), 0.0)


def _corrupted(tensor: Tensor) -> Tensor:
    """With 1% of noise; whole numbers: every hundredth one too large."""
    if not tensor.is_floating_point():
        wrong = torch.arange(tensor.numel()).view(tensor.shape) % 100 == 0
        return tensor + wrong
    noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0))
    return tensor + 0.01 * tensor.norm() / noise.norm() * noise


def check_first_stage(model: FirstStage, golden: Golden) -> Iterator[Line]:
    """A first stage alone; its latent is not scaled."""
    with torch.inference_mode():
        yield from _check_encoder(model, golden)
        z = golden.use("z")
        if isinstance(model, AutoencoderVQ):
            yield from golden.check_indices("decode.indices", model.quantize.nearest(z))
        yield from golden.check("decode", model.decode(z))


def _check_encoder(model: FirstStage, golden: Golden) -> Iterator[Line]:
    image = golden.use("image")
    if isinstance(model, AutoencoderKL):
        posterior = model.encode(image)
        yield from golden.check("encode.mean", posterior.mean)
        yield from golden.check("encode.logvar", posterior.logvar)
    elif isinstance(model, AutoencoderVQ):
        z = model.encode(image)
        quantized = model.quantize(z)
        yield from golden.check("encode.latent", z)
        yield from golden.check("encode.quantized", quantized.z)
        yield from golden.check_indices("encode.indices", quantized.indices)


def check_model(model: LatentDiffusion, golden: Golden) -> Iterator[Line]:
    """A whole model."""
    with torch.inference_mode():
        yield from _check_encoder(model.first_stage_model, golden)
    z = golden.use("z")
    yield from golden.check("decode", model.decode(z))
    for suffix, name in (("", "cond"), ("_uncond", "uncond")):
        if name in golden:
            yield from golden.check(name, _conditioned(model, golden, suffix))
    cond, uncond = (_condition(model, golden, name) for name in ("cond", "uncond"))
    for t in (999, 500, 1):
        yield from golden.check(f"eps.{t}", model.eps(z, torch.tensor([t]), cond or Cond()))
    yield from _check_sampling(model, golden, z, cond or Cond(), uncond)


def _conditioned(model: LatentDiffusion, golden: Golden, suffix: str) -> Tensor:
    """What the engine makes of the case's inputs: context or channels."""
    for ids in (f"tokens{suffix}", f"class{suffix}"):
        if ids in golden:
            return model.get_submodule("cond_stage_model")(golden.use(ids).long()).float()
    fields = {"labels": "label_map", "low_res": "low_res", "masked_image": "image", "mask": "mask"}
    inputs = Inputs()
    for name, field in fields.items():
        if name in golden:
            tensor = golden.use(name)
            inputs = replace(inputs, **{field: tensor if name == "labels" else tensor[0]})
    concat = model.condition([inputs], tuple(golden.use("z").shape[-2:])).concat
    assert concat is not None
    return concat


def _condition(model: LatentDiffusion, golden: Golden, name: str) -> Cond | None:
    """The reference's condition, so that errors do not add up."""
    if name not in golden:
        return None
    tensor = golden.use(name)
    return Cond(context=tensor) if tensor.dim() == 3 else Cond(concat=tensor)


def _check_sampling(
    model: LatentDiffusion, golden: Golden, z: Tensor, cond: Cond, uncond: Cond | None
) -> Iterator[Line]:
    def no_noise() -> Tensor:
        return torch.zeros_like(z)

    x0, trace = sample(model, "ddim", 5, z, cond, noise=no_noise)
    yield from golden.check("ddim.eta0", x0, TOLERANCE_SAMPLED)
    yield from golden.check("ddim.eta0.pred_x0", torch.cat(trace), TOLERANCE_SAMPLED)
    if uncond is not None:
        x0, _ = sample(model, "ddim", 5, z, cond, uncond, noise=no_noise)
        yield from golden.check("ddim.eta0.cfg4", x0, TOLERANCE_SAMPLED)
    drawn = iter(golden.use("ddim.eta1.noise"))
    x0, _ = sample(model, "ddim", 5, z, cond, eta=1.0, noise=lambda: next(drawn)[None])
    yield from golden.check("ddim.eta1", x0, TOLERANCE_SAMPLED)
    x0, _ = sample(model, "plms", 6, z, cond, uncond, noise=no_noise)
    yield from golden.check("plms", x0, TOLERANCE_SAMPLED)


def sample(
    model: LatentDiffusion,
    sampler: str,
    num_steps: int,
    x: Tensor,
    cond: Cond,
    uncond: Cond | None = None,
    *,
    eta: float = 0.0,
    noise: Callable[[], Tensor],
) -> tuple[Tensor, list[Tensor]]:
    """Answers a sampler's questions; returns x_0 and what was predicted of it after each step."""
    steps = timesteps(model.schedule, num_steps, "uniform")
    sampling = FUNCTIONS[sampler](x, model.schedule, steps, eta, noise)
    trace: list[Tensor] = []
    try:
        ask = next(sampling)
        while True:
            t = torch.tensor([ask.t])
            output = model.output(ask.x, t, cond)
            if uncond is not None:
                output = guided(output, model.output(ask.x, t, uncond), GUIDANCE)
            predicted = model.prediction(output, ask.x, ask.t)
            trace.append(predicted.x0)
            ask = sampling.send(predicted)
    except StopIteration as stop:
        return stop.value, trace


def run_case(
    case: Path, file_format: str, *, with_config: bool, corrupt: str | None
) -> tuple[list[Line], list[str]]:
    """(comparisons, tensors that were neither used nor checked) of a case.

    Raises:
        AtelierError: the model cannot be loaded.
    """
    suffix, flags = FORMATS[file_format]
    with tempfile.TemporaryDirectory(prefix="golden-") as folder:
        checkpoint = Path(folder) / f"model{suffix}"
        write_checkpoint(case, checkpoint, flags)
        if with_config:
            shutil.copy(case / "config.yaml", folder)
        model = load_model(checkpoint)
    golden = Golden(case / "golden.safetensors", corrupt)
    lines = list(
        check_first_stage(model, golden) if isinstance(model, FirstStage) else check_model(model, golden)
    )
    return lines, golden.untouched


def write_checkpoint(case: Path, out: Path, flags: Sequence[str]) -> None:
    """Makes a case's checkpoint with the collection's weights.py."""
    script = case_root(case) / "weights.py"
    if flags:  # leaves modules behind that the loader must not find
        subprocess.run([sys.executable, script, case, out, *flags], check=True)
        return
    spec = importlib.util.spec_from_file_location("golden_weights", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    weights = module.state_dict(case)
    if out.suffix == ".safetensors":
        save_file(weights, out)
    else:
        torch.save({"state_dict": {name: torch.from_numpy(array) for name, array in weights.items()}}, out)


def case_root(case: Path) -> Path:
    """The folder of the collection that a case lies in: the one with weights.py."""
    for folder in case.resolve().parents:
        if (folder / "weights.py").is_file():
            return folder
    raise SystemExit(f"{case}: no weights.py in a folder above it; is this a golden case?")


def find_case(name: str) -> Path:
    """A case by its folder, or by its path below the golden collection."""
    shared = shared_folder()
    for path in (Path(name), *([shared / "golden" / name] if shared else [])):
        if (path / "manifest.json").is_file():
            return path.resolve()
    raise SystemExit(f"{name}: no such case (set ATELIER_SHARED to the shared folder)")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__.partition("\n")[0])
    parser.add_argument("cases", nargs="+", metavar="CASE")
    parser.add_argument("--format", choices=FORMATS, default="safetensors")
    parser.add_argument("--no-config", action="store_true", help="recognise the model by its weights")
    parser.add_argument("--corrupt", metavar="NAME", help="add 1%% noise to an expected tensor")
    options = parser.parse_args(argv)
    passed = failed = 0
    for name in options.cases:
        case = find_case(name)
        label = f"{case.parent.name}/{case.name}"
        try:
            lines, untouched = run_case(
                case, options.format, with_config=not options.no_config, corrupt=options.corrupt
            )
        except AtelierError as error:
            print(f"{label}  not loaded: {type(error).__name__}: {error}")
            failed += 1
            continue
        for line in lines:
            print(
                f"{label}  {line.name:20} {line.error:.2e}  {'pass' if line.passed else 'FAIL'}", flush=True
            )
        for tensor in untouched:
            print(f"{label}  {tensor:20} neither used nor checked  FAIL")
        good = sum(line.passed for line in lines)
        passed += good
        failed += len(lines) - good + len(untouched)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
