"""The files of a folder in the layout of diffusers: which are read, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ldm_core.conditioners import Inputs
from ldm_core.errors import AtelierError, ModelError
from ldm_core.formats import load_model
from ldm_core.formats.folders import choose_weights
from ldm_core.formats.identify import identify
from ldm_core.library.models import ModelLibrary
from ldm_core.network.latent_diffusion import LatentDiffusion
from tests.diffusers_pipelines import CELLS, DRAWS, saved
from tests.stable_diffusion import PROMPT, SIZE
from tests.tiny import initial_noise


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved("sd1", tmp_path_factory.mktemp("folder"))[0]


@pytest.fixture
def folder(sd1: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(sd1, tmp_path / "sd1"))


def answer(path: Path) -> Tensor:
    """What a model's UNet, text encoder and first stage make of something."""
    model = load_model(path)
    assert isinstance(model, LatentDiffusion)
    x = initial_noise([3], (4, CELLS, CELLS))
    return model.decode(
        model.output(x, torch.tensor([500]), model.condition([Inputs(PROMPT)], (CELLS, CELLS)))
    )


def test_pieces_variants_and_pickles(sd1: Path, folder: Path) -> None:
    expected = answer(sd1)
    part = folder / "unet"
    weights = load_file(part / "diffusion_pytorch_model.safetensors")
    names = sorted(weights)
    (part / "diffusion_pytorch_model.safetensors").unlink()
    index: dict[str, str] = {}
    for i, piece in enumerate((names[::2], names[1::2]), start=1):
        file = f"diffusion_pytorch_model-0000{i}-of-00002.safetensors"
        save_file({name: weights[name] for name in piece}, part / file)
        index |= dict.fromkeys(piece, file)
    (part / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    (part / "diffusion_pytorch_model.bin").write_bytes(b"never opened, as it is a pickle")
    assert torch.equal(answer(folder), expected)

    vae = folder / "vae"
    (vae / "diffusion_pytorch_model.safetensors").rename(vae / "diffusion_pytorch_model.fp16.safetensors")
    text = folder / "text_encoder"
    torch.save(load_file(text / "model.safetensors"), text / "pytorch_model.bin")
    (text / "model.safetensors").unlink()
    assert torch.equal(answer(folder), expected)
    (part / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    assert "not a checkpoint" in refused(folder)  # the pickle is all that is whole
    (part / "diffusion_pytorch_model.bin").unlink()
    assert "no whole weights of its part unet" in refused(folder)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype, sd1: Path, folder: Path) -> None:
    for file in folder.rglob("*.safetensors"):
        save_file({name: tensor.to(dtype) for name, tensor in load_file(file).items()}, file)
    difference = (answer(folder) - answer(sd1)).abs().max().item()
    assert 0 < difference < 0.1
    assert identify(folder).precision == str(dtype).removeprefix("torch.")


def test_a_first_stage_that_overflows_float16_is_kept_in_float32(tmp_path: Path) -> None:
    """Unless its JSON says that it was trained further; bfloat16 reaches as far as float32."""
    folder, _ = saved("sdxl", tmp_path)
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["decoder.conv_in.weight"] *= 30_000.0  # normalised again, but 65504 is exceeded before
    save_file(weights, file)
    z = initial_noise([3], (4, CELLS, CELLS))
    pictures = {}
    for upcast in (True, False):
        config = json.loads((folder / "vae" / "config.json").read_text())
        (folder / "vae" / "config.json").write_text(json.dumps(config | {"force_upcast": upcast}))
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            model = load_model(folder, dtype=dtype)
            assert isinstance(model, LatentDiffusion) and model.dtype == dtype
            pictures[upcast, dtype] = model.decode(z)
            kept = torch.float32 if upcast and dtype == torch.float16 else dtype
            assert {weight.dtype for weight in model.first_stage_model.parameters()} == {kept}
            assert {weight.dtype for weight in model.model.parameters()} == {dtype}
    assert torch.equal(pictures[True, torch.float16], pictures[True, torch.float32])
    assert not pictures[False, torch.float16].isfinite().all()
    assert pictures[True, torch.bfloat16].isfinite().all()
    assert model.encode(torch.zeros(1, 3, SIZE, SIZE)).isfinite().all()


def test_the_names_of_the_first_versions(sd1: Path, folder: Path) -> None:
    """As the published folders have them: attention in the first stage, and CLIP's prefix."""
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    weights = load_file(file)
    for new, name in old.items():
        weights = {key.replace(new, name): tensor for key, tensor in weights.items()}
    save_file(weights, file)
    text = folder / "text_encoder" / "model.safetensors"
    prefixed = {f"text_model.{name}": tensor for name, tensor in load_file(text).items()}
    save_file(prefixed | {"text_model.embeddings.position_ids": torch.arange(16)[None]}, text)
    assert torch.equal(answer(folder), answer(sd1))


def test_which_files_are_chosen() -> None:
    base = "diffusion_pytorch_model"
    assert choose_weights([f"{base}.bin", f"{base}.fp16.safetensors", f"{base}.safetensors"]) == (
        f"{base}.safetensors",
    )
    assert choose_weights([f"{base}.bin", f"{base}.fp16.safetensors"]) == (f"{base}.fp16.safetensors",)
    assert choose_weights([f"{base}.non_ema.safetensors", "flax_model.msgpack", "model.onnx"]) == ()
    pieces = tuple(f"model.fp16-0000{i}-of-00003.safetensors" for i in (1, 2, 3))
    assert choose_weights(pieces[::-1]) == pieces and choose_weights(pieces[:2]) == ()


def test_a_folder_in_the_list_of_models(folder: Path, tmp_path: Path) -> None:
    library = ModelLibrary([tmp_path])
    entry = library.entry("sd1")
    assert entry.is_usable and set(entry.tasks) == DRAWS and entry.family == "Stable Diffusion"
    files = [next((folder / part).glob("*.safetensors")) for part in ("unet", "vae", "text_encoder")]
    assert entry.size == sum(file.stat().st_size for file in files)
    info = library.info("sd1")
    assert (info.defaults.spacing, info.defaults.guidance_scale) == ("karras", 7.5)
    before = library.load("sd1", device="cpu", dtype=torch.float32)
    change(folder / "scheduler" / "scheduler_config.json", prediction_type="v_prediction")
    library.scan()
    after = library.load("sd1", device="cpu", dtype=torch.float32)
    assert (before.spec.parameterization, after.spec.parameterization) == ("eps", "v")


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(path)
    message = str(caught.value)
    assert "\n" not in message and str(path.parent) not in message and len(message) < 500
    assert not identify(path).tasks and identify(path).problem == message
    return message


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("file", "values", "reason"),
    [
        ("model_index.json", {"_class_name": "FluxPipeline"}, "'FluxPipeline', which is none"),
        ("model_index.json", {"_class_name": ["pipeline", "Mine"]}, "none of the latent diffusion family"),
        ("model_index.json", {"unet": ["subprocess", "Popen"]}, "unet is ['subprocess', 'Popen']"),
        ("model_index.json", {"safety_checker": ["os", "system"]}, "['os', 'system']"),
        ("model_index.json", {"vae": ["diffusers", "AutoencoderTiny"]}, "AutoencoderTiny"),
        ("model_index.json", {"vae": None}, "no first stage"),
        ("unet/config.json", {"auto_map": {"AutoModel": "evil.Model"}}, "code of its own"),
        ("unet/config.json", {"act_fn": "mish"}, "act_fn is 'mish'"),
        ("unet/config.json", {"new_kind_of_attention": 3}, "new_kind_of_attention is not known"),
        ("unet/config.json", {"down_block_types": ["KDownBlock2D", "DownBlock2D"]}, "'KDownBlock2D'; known"),
        ("unet/config.json", {"attention_head_dim": [8, 7]}, "attention_head_dim is [8, 7]"),
        ("unet/config.json", {"attention_head_dim": "many"}, "attention_head_dim is 'many'"),
        ("vae/config.json", {"shift_factor": 0.1}, "shift_factor is not known"),
        ("vae/config.json", {"scaling_factor": "large"}, "scaling_factor is 'large'"),
        ("text_encoder/config.json", {"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ("text_encoder/config.json", {"num_attention_heads": 3}, "num_attention_heads is 3"),
        ("scheduler/scheduler_config.json", {"_class_name": "os.system"}, "no scheduler of this family"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "sigmoid"}, "beta_schedule is 'sigmoid'"),
        ("scheduler/scheduler_config.json", {"prediction_type": {}}, "prediction_type is {}"),
        ("scheduler/scheduler_config.json", {"trained_betas": [0.5]}, "a list of 1000 numbers"),
    ],
)
def test_what_is_not_known_is_named(file: str, values: dict[str, object], reason: str, folder: Path) -> None:
    change(folder / file, **values)
    assert reason in refused(folder)


@pytest.mark.parametrize(
    "data", [b"[]", b"{" * 10, b'{"a": NaN}', b'{"a": 1, "a": 1}', b"\xff", b" " * 2**21]
)
def test_damaged_json(data: bytes, folder: Path) -> None:
    for name in ("model_index.json", "unet/config.json", "scheduler/scheduler_config.json"):
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(data)
        refused(folder)
        (folder / name).write_bytes(before)


def test_files_of_another_model(sd1: Path, folder: Path) -> None:
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    good = load_file(unet)
    strange = {**good, "down_blocks.0.resnets.0.conv9.weight": torch.zeros(1)}
    save_file(strange, unet)
    assert "conv9" in refused_loading(folder)
    save_file({n: t for n, t in good.items() if "mid_block" not in n}, unet)
    refused_loading(folder)
    shutil.rmtree(folder / "vae")
    assert "part vae" in refused(folder) or "config.json" in refused(folder)
    code = folder / "unet" / "unet.py"
    code.write_text(f"open({str(folder / 'ran')!r}, 'w')")
    refused(folder)
    assert not (folder / "ran").exists()


def test_code_and_repositories_that_a_folder_names_are_never_looked_for(
    sd1: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pipeline.py", "unet/modeling.py", "text_encoder/attention.py"):
        (folder / name).write_text(f"open({str(folder / 'ran')!r}, 'w')")
    change(folder / "model_index.json", custom_pipeline="attacker/repo", trust_remote_code=True)
    change(folder / "text_encoder" / "config.json", _attn_implementation="attacker/repo")
    change(folder / "unet" / "config.json", _name_or_path="attacker/repo")
    monkeypatch.setattr("socket.socket", None)
    monkeypatch.setattr("subprocess.Popen", None)
    assert torch.equal(answer(folder), answer(sd1)) and not (folder / "ran").exists()
    text = (folder / "vae" / "config.json").read_text()
    (folder / "vae" / "config.json").write_text(text.replace("0.18215", "1e999"))
    assert "scaling_factor is inf" in refused(folder)


def refused_loading(path: Path) -> str:
    with pytest.raises(AtelierError) as caught:
        load_model(path)
    return str(caught.value)
