"""Adapters: their changes beside what diffusers merges, that they leave no trace, requests with them."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import save_file
from torch import Tensor

from app.keeping.metadata import encode_png, read_settings
from ldm_core.engine.engine import Engine
from ldm_core.engine.events import PictureDone
from ldm_core.errors import RequestError, WeightsError
from ldm_core.formats import load_model
from ldm_core.formats.adapter_files import read_adapter
from ldm_core.formats.identify import identify
from ldm_core.library.models import ModelLibrary
from ldm_core.network.adapters import Adapter, Applied, adapted
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.request import AdapterUse, TextToImage, parse_request, to_json
from tests.adapters import attention_processors, kohya, pairs, peft
from tests.diffusers_pipelines import saved

FAMILIES = ("sd1", "sd2-eps", "sdxl")
STRENGTH = 0.8
SPELLINGS = {"kohya": kohya, "peft": peft, "attention processors": attention_processors}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def pipelines(folder: Path) -> dict[str, DiffusionPipeline]:
    return {name: saved(name, folder)[1] for name in FAMILIES}


@pytest.fixture(scope="module")
def files(folder: Path, pipelines: dict[str, DiffusionPipeline]) -> dict[tuple[str, str], Path]:
    """(family, spelling) -> a file."""
    found = {}
    for family, pipeline in pipelines.items():
        for spelling, write in SPELLINGS.items():
            path = folder / f"{family}-{spelling.replace(' ', '-')}.safetensors"
            save_file({k: t.contiguous() for k, t in write(pairs(pipeline)).items()}, path)
            found[family, spelling] = path
    return found


def model_of(path: Path) -> LatentDiffusion:
    model = load_model(path)
    assert isinstance(model, LatentDiffusion)
    return model


def read(path: Path, model: LatentDiffusion) -> Adapter:
    adapter, unmatched = read_adapter(path, path.stem, model, model.spec)
    assert not unmatched
    return adapter


def difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return max((other[name] - tensor).abs().max().item() for name, tensor in one.items())


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_effective_weights_are_those_of_diffusers(
    folder: Path,
    pipelines: dict[str, DiffusionPipeline],
    files: dict[tuple[str, str], Path],
    family: str,
    spelling: str,
    tmp_path: Path,
) -> None:
    path, model = files[family, spelling], model_of(folder / family)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ours = adapted(model, [Applied(read(path, model), STRENGTH, STRENGTH)])
    # Never written to, and shared where nothing changes.
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    changed = [name for name, tensor in ours.state_dict().items() if not torch.equal(tensor, before[name])]
    counted = pairs(pipelines[family], text=spelling != "attention processors")
    if spelling != "attention processors":
        assert len(changed) == sum(map(len, counted.values()))
    merged: Any = type(pipelines[family]).from_pretrained(folder / family)
    merged.load_lora_weights(str(path.parent), weight_name=path.name)
    merged.fuse_lora(lora_scale=STRENGTH)
    merged.unload_lora_weights()
    merged.save_pretrained(tmp_path / "merged")
    theirs = model_of(tmp_path / "merged").state_dict()
    assert difference(ours.state_dict(), theirs) < 1e-5
    assert difference(model.state_dict(), theirs) > 1e-2


def test_deltas_of_several_add_up_and_strengths_are_separate(
    folder: Path, files: dict[tuple[str, str], Path]
) -> None:
    model = model_of(folder / "sd1")
    one, other = (read(files["sd1", spelling], model) for spelling in ("kohya", "attention processors"))
    base = model.state_dict()

    def changes(*applied: Applied) -> dict[str, Tensor]:
        return {n: t - base[n] for n, t in adapted(model, applied).state_dict().items()}

    both = changes(Applied(one, 0.5, 0.25), Applied(other, -1.0))
    apart = changes(Applied(one, 1.0, 1.0)), changes(Applied(other, 1.0))
    for name, change in both.items():
        strength = 0.25 if name.startswith("cond_stage_model.") else 0.5
        assert torch.allclose(change, strength * apart[0][name] - apart[1][name], atol=1e-5), name
    text_alone = changes(Applied(one, 0.0, 1.0))
    assert {n.partition(".")[0] for n, c in text_alone.items() if c.any()} == {"cond_stage_model"}
    assert adapted(model, [Applied(one, 0.0, 0.0)]) is model


def test_tuckers_form_of_a_convolution(folder: Path, tmp_path: Path) -> None:
    model, generator = model_of(folder / "sd1"), torch.Generator().manual_seed(0)
    stem = "lora_unet_down_blocks_0_resnets_0_conv1"
    down, mid, up = (
        torch.randn(*shape, generator=generator) for shape in ((3, 64, 1, 1), (3, 3, 3, 3), (64, 3, 1, 1))
    )
    parts = {"lora_down.weight": down, "lora_mid.weight": mid, "lora_up.weight": up}
    save_file({f"{stem}.{part}": tensor for part, tensor in parts.items()}, tmp_path / "tucker.safetensors")
    ours = adapted(model, [Applied(read(tmp_path / "tucker.safetensors", model))])
    place = "model.diffusion_model.input_blocks.1.0.in_layers.2.weight"
    expected = torch.nn.functional.conv2d(  # three convolutions in a row, seen as one
        torch.eye(64)[:, :, None, None], down
    )
    kernel = torch.nn.functional.conv_transpose2d(expected, mid.transpose(0, 1))
    kernel = torch.nn.functional.conv2d(kernel, up).transpose(0, 1)
    change = ours.state_dict()[place] - model.state_dict()[place]
    assert torch.allclose(change, kernel, atol=1e-4)


def test_alpha_is_taken_from_what_peft_writes_beside_the_tensors(
    folder: Path, pipelines: dict[str, DiffusionPipeline], tmp_path: Path
) -> None:
    model = model_of(folder / "sd1")
    tensors = peft(pairs(pipelines["sd1"], text=False))
    special = "mid_block.attentions.0.proj_in"
    config = {"unet.r": 3, "unet.lora_alpha": 6, "unet.alpha_pattern": {special: 12}}
    changes = {}
    for name, metadata in {
        "plain": {},
        "alpha": config,
        "rs": {"unet.lora_alpha": 6, "unet.use_rslora": True},
    }.items():
        path = tmp_path / f"{name}.safetensors"
        save_file(tensors, path, {"lora_adapter_metadata": json.dumps(metadata), "format": "pt"})
        ours = adapted(model, [Applied(read(path, model))]).state_dict()
        changes[name] = {n: ours[n] - t for n, t in model.state_dict().items()}
    place = "model.diffusion_model.middle_block.1.proj_in.weight"
    for name, plain in changes["plain"].items():
        assert torch.allclose(changes["alpha"][name], (4 if name == place else 2) * plain, atol=1e-5), name
        assert torch.allclose(changes["rs"][name], 2 * 3**0.5 * plain, atol=1e-5), name


def test_the_base_is_recomputed_from_in_float32(folder: Path, files: dict[tuple[str, str], Path]) -> None:
    model, exact = load_model(folder / "sd1", dtype=torch.float16), model_of(folder / "sd1")
    assert isinstance(model, LatentDiffusion)
    applied = [Applied(read(files["sd1", "kohya"], model), 0.03, 0.03)]
    half = adapted(model, applied).state_dict()
    base = {name: tensor.float() for name, tensor in model.state_dict().items()}
    exact.load_state_dict(base)
    single = adapted(exact, applied).state_dict()
    assert all(torch.equal(tensor, single[name].half()) for name, tensor in half.items())


def test_files_that_do_not_suit_are_refused_in_a_sentence(
    folder: Path, files: dict[tuple[str, str], Path], tmp_path: Path
) -> None:
    model = model_of(folder / "sd1")
    with pytest.raises(WeightsError, match="another family"):
        read_adapter(files["sdxl", "kohya"], "xl", model, model.spec)
    stem = "lora_unet_mid_block_attentions_0_proj_in"
    tensors = {f"{stem}.lora_up.weight": torch.ones(128, 2), f"{stem}.lora_down.weight": torch.ones(2, 99)}
    save_file(tensors, tmp_path / "wide.safetensors")
    with pytest.raises(WeightsError, match=r"wide.*middle_block"):
        adapted(model, [Applied(read(tmp_path / "wide.safetensors", model))])
    save_file({f"{stem}.lora_up.weight": torch.ones(128, 2)}, tmp_path / "half.safetensors")
    with pytest.raises(WeightsError, match=f"half.*{stem}"):
        read_adapter(tmp_path / "half.safetensors", "half", model, model.spec)
    assert "incomplete" in identify(tmp_path / "half.safetensors").problem
    known = identify(files["sd1", "peft"])
    assert (known.kind, known.problem) == ("LoRA", "")
    extra = {**tensors, "lora_unet_other.lora_up.weight": torch.ones(1, 1)}
    extra["lora_unet_other.lora_down.weight"] = torch.ones(1, 1)
    save_file(extra, tmp_path / "extra.safetensors")
    _, unmatched = read_adapter(tmp_path / "extra.safetensors", "extra", model, model.spec)
    assert unmatched == ("lora_unet_other",)


# Requests ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def library(folder: Path, files: dict[tuple[str, str], Path]) -> ModelLibrary:
    return ModelLibrary([folder])


@pytest.fixture(scope="module")
def engine(library: ModelLibrary) -> Iterator[Engine]:
    with Engine(library, device="cpu", dtype="float32", max_batch=4) as engine:
        yield engine


PLAIN = TextToImage(
    model="sd1", prompt="an old lake", width=64, height=64, steps=4, seed=3, guidance_scale=4.0,
    spacing="uniform",
)  # fmt: skip
STYLED = replace(PLAIN, adapters=(AdapterUse("sd1-kohya", STRENGTH, STRENGTH),))


def picture(engine: Engine, request: TextToImage) -> np.ndarray:
    (pixels,) = engine.submit(request).pictures()
    return pixels


def test_a_request_with_an_adapter_makes_the_picture_that_diffusers_makes(
    engine: Engine, pipelines: dict[str, DiffusionPipeline], files: dict[tuple[str, str], Path], folder: Path
) -> None:
    theirs: Any = type(pipelines["sd1"]).from_pretrained(folder / "sd1")
    theirs.set_progress_bar_config(disable=True)
    path = files["sd1", "kohya"]
    theirs.load_lora_weights(str(path.parent), weight_name=path.name)
    theirs.fuse_lora(lora_scale=STRENGTH)
    latents = torch.randn((1, 4, 32, 32), generator=torch.Generator().manual_seed(3))
    image = theirs(
        prompt="an old lake", guidance_scale=4.0, num_inference_steps=4, output_type="np", latents=latents,
        height=64, width=64,
    ).images[0]  # fmt: skip
    expected = np.rint(255 * image).astype(int)
    ours = picture(engine, STYLED)
    assert np.abs(ours.astype(int) - expected).max() <= 1
    assert np.abs(ours.astype(int) - picture(engine, PLAIN)).max() > 1


def test_jobs_with_different_adapters_take_turns_and_do_not_disturb_one_another(engine: Engine) -> None:
    requests = [
        PLAIN,
        STYLED,
        replace(STYLED, adapters=(AdapterUse("sd1-kohya", -STRENGTH, 0.0),)),
        replace(STYLED, adapters=(AdapterUse("sd1-peft", 0.3), AdapterUse("sd1-kohya", 0.4))),
    ]
    alone = [picture(engine, request) for request in requests]
    assert len({pixels.tobytes() for pixels in alone}) == len(alone)
    jobs = [engine.submit(request) for request in requests]
    for job, expected in zip(jobs, alone, strict=True):
        (pixels,) = job.pictures()
        assert np.array_equal(pixels, expected)
    assert np.array_equal(picture(engine, PLAIN), alone[0])


def test_jobs_with_the_same_adapters_share_a_network_call(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    output = LatentDiffusion.output

    def counting(self: LatentDiffusion, x: Tensor, *rest: Any) -> Tensor:
        sizes.append(len(x))
        return output(self, x, *rest)

    monkeypatch.setattr(LatentDiffusion, "output", counting)
    one = picture(engine, STYLED)
    together = replace(STYLED, batch_size=2)
    pixels = engine.submit(together).pictures()
    assert max(sizes) == 4 and np.abs(pixels[0].astype(int) - one).max() <= 1


def test_changing_strength_many_times_keeps_memory_and_the_base_as_they_were(
    library: ModelLibrary, engine: Engine
) -> None:
    plain = picture(engine, PLAIN)
    options: Any = {"device": "cpu", "dtype": torch.float32}
    base = library.load("sd1", **options)
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    kept = []
    for i in range(80):
        request = replace(STYLED, adapters=(AdapterUse("sd1-kohya", i / 80, i / 80),))
        assert library.load("sd1", **options, extensions=request.extensions) is not base or i == 0
        if i % 20 == 19:
            kept.append(tensors_alive())
    assert max(kept) == min(kept), kept
    assert library.load("sd1", **options) is base
    assert all(torch.equal(tensor, before[name]) for name, tensor in base.state_dict().items())
    assert np.array_equal(picture(engine, PLAIN), plain)


def tensors_alive() -> int:
    gc.collect()
    return sum(isinstance(one, Tensor) for one in gc.get_objects())


def test_a_picture_with_an_adapter_is_made_again_from_its_file(engine: Engine) -> None:
    assert parse_request(json.loads(json.dumps(to_json(STYLED)))) == STYLED
    assert "adapters" not in to_json(PLAIN)
    job = engine.submit(STYLED)
    (made,) = [event for event in job.events() if isinstance(event, PictureDone)]
    again = read_settings(encode_png(made.pixels, made.request)).request
    assert isinstance(again, TextToImage) and again == STYLED
    assert np.array_equal(picture(engine, again), made.pixels)


def test_a_branch_may_change_adapters(engine: Engine) -> None:
    job = engine.submit(PLAIN)
    (plain,) = job.pictures()
    branch = engine.branch(job, 0, 2, STYLED)
    (event,) = [event for event in branch.events() if isinstance(event, PictureDone)]
    assert not np.array_equal(event.pixels, plain)
    assert isinstance(event.request, TextToImage)
    assert np.array_equal(picture(engine, event.request), event.pixels)  # as a whole, with both models


def test_what_is_not_there_is_said_at_once(engine: Engine) -> None:
    with pytest.raises(RequestError, match=r"adapters is 'nothing'.*sd1-kohya"):
        engine.submit(replace(PLAIN, adapters=(AdapterUse("nothing"),)))
    with pytest.raises(RequestError, match="adapters is 'sd1'"):
        engine.submit(replace(PLAIN, adapters=(AdapterUse("sd1"),)))
    for wrong in ([], [{}], [{"name": "a", "unet": 11}], [{"name": "a"}, {"name": "a"}], "a"):
        with pytest.raises(RequestError, match="adapters is"):
            parse_request({"task": "text-to-image", "adapters": wrong})
    with pytest.raises(WeightsError, match="another family"):
        engine.submit(replace(PLAIN, adapters=(AdapterUse("sdxl-kohya"),))).pictures()
