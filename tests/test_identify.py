"""What a file is, from its header alone; and how a checkpoint is read under other names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ldm_core.errors import WeightsError
from ldm_core.formats import load_model
from ldm_core.formats.identify import identify
from ldm_core.formats.renaming import Joined, Recipe, Renamed, unchanged
from ldm_core.nn.autoencoder import AutoencoderKL
from ldm_core.request.extensions import ADAPTER, EMBEDDING
from tests import tiny

# A name of a tensor that tells the kind, the kind with its article, and what it is for.
OTHERS = [
    ("down_blocks.0.motion_modules.0.norm.weight", "a motion module", "makes short films"),
    ("ip_adapter.1.to_k_ip.weight", "an IP-Adapter", "makes a model follow a picture"),
    ("image_proj.proj.weight", "an IP-Adapter", "makes a model follow a picture"),
    ("adapter.body.0.conv.weight", "a T2I-Adapter", "guides a model by a sketch"),
    ("body.0.block1.weight", "a T2I-Adapter", "guides a model by a sketch"),
    ("body.0.resnets.0.weight", "a T2I-Adapter", "guides a model by a sketch"),
    ("double_blocks.0.img_attn.qkv.weight", "a diffusion transformer", "of another family"),
    ("joint_blocks.0.weight", "a diffusion transformer", "of another family"),
    ("transformer_blocks.0.attn.to_out.0.weight", "a diffusion transformer", "of another family"),
    ("down_blocks.0.resnets.0.conv1.weight", "a part of a UNet", "choose the file or folder with the whole"),
    ("down_blocks.0.attentions.0.weight", "a part of a UNet", "choose the file or folder with the whole"),
    ("text_model.encoder.weight", "a text encoder", "a part of a model; choose the file"),
    ("token_embedding.weight", "a text encoder", "a part of a model; choose the file"),
    ("vision_model.weight", "an image encoder", "tells what is in a picture"),
    ("visual.conv1.weight", "an image encoder", "tells what is in a picture"),
    ("conv_body.weight", "an upscaler", "enlarges pictures by a network"),
    ("RRDB_trunk.0.weight", "an upscaler", "enlarges pictures by a network"),
    ("body.0.rdb1.weight", "an upscaler", "enlarges pictures by a network"),
    ("model.1.sub.0.weight", "an upscaler", "enlarges pictures by a network"),
    ("conv_after_body.weight", "an upscaler", "enlarges pictures by a network"),
    ("residual_layer.0.weight", "an upscaler", "enlarges pictures by a network"),
    ("emb_params", "a textual inversion", "gives a model a new word"),
    ("string_to_param.*", "a textual inversion", "gives a model a new word"),
]


@pytest.mark.parametrize(("name", "kind", "purpose"), OTHERS, ids=[name for name, *_ in OTHERS])
def test_what_is_no_model_is_named_with_what_it_is_for(
    name: str, kind: str, purpose: str, tmp_path: Path
) -> None:
    save_file({name: torch.ones(2, 2, 2)}, tmp_path / "x.safetensors")
    found = identify(tmp_path / "x.safetensors")
    assert found.problem.startswith(f"It is {kind}, not a model: {purpose}") and found.problem.endswith(".")
    assert kind.partition(" ")[2] == found.kind and not found.tasks


def test_the_precision_is_that_of_most_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(3).half(), "b": torch.ones(2, 2), "c": torch.ones(3).half()}, path)
    found = identify(path)
    assert (found.kind, found.precision, found.num_parameters) == ("unknown", "float16", 10)
    assert found.problem == "It is no model that is known."
    texts = (found.family, found.title, found.description, found.licence, found.note)
    assert set(texts) == {""} and not found.tasks
    assert identify(tmp_path / "none.safetensors").problem.startswith("none.safetensors cannot be loaded")


def test_a_model_is_told_with_what_is_left_aside(tmp_path: Path) -> None:
    folder = tiny.write_model(tmp_path)
    found = identify(folder)
    assert found.kind == "model" and found.tasks and not found.problem and not found.note
    weights = tiny.weights()
    names = [f"safety_checker.{letter}" for letter in "abcd"]
    for count, listed in ((3, ", ".join(names[:3])), (4, ", ".join(names[:3]) + ", …")):
        save_file(weights | {name: torch.ones(1) for name in names[:count]}, folder / "model.safetensors")
        sentence = f"{count} tensors in it change no picture and are left aside: {listed}."
        assert identify(folder).note == sentence
    save_file(weights | {"what": torch.ones(1)}, folder / "model.safetensors")
    found = identify(folder)
    assert "what" in found.problem and not found.tasks  # as loading it would say


def test_a_first_stage_alone_is_no_model(tmp_path: Path) -> None:
    prefix = "first_stage_model."
    alone = {name.removeprefix(prefix): t for name, t in tiny.weights().items() if name.startswith(prefix)}
    save_file(alone, tmp_path / "vae.safetensors")
    found = identify(tmp_path / "vae.safetensors")
    assert (found.kind, found.problem) == ("first stage", "It is a first stage (VAE) alone, not a model.")
    assert isinstance(load_model(tmp_path / "vae.safetensors"), AutoencoderKL)


@pytest.mark.parametrize(("length", "words"), [(1, "1 vector for "), (3, "3 vectors for ")])
def test_an_embedding_says_how_many_vectors_it_has(length: int, words: str, tmp_path: Path) -> None:
    save_file({"emb_params": torch.ones(length, 768)}, tmp_path / "word.safetensors")
    found = identify(tmp_path / "word.safetensors")
    assert found.description.startswith(words) and found.kind == EMBEDDING and not found.problem


def test_half_of_an_adapter_is_incomplete(tmp_path: Path) -> None:
    name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    down, up = {f"{name}.lora_down.weight": torch.ones(4, 64)}, {f"{name}.lora_up.weight": torch.ones(64, 4)}
    save_file(down | up, tmp_path / "a.safetensors")
    found = identify(tmp_path / "a.safetensors")
    assert (
        found.kind == ADAPTER and not found.problem and found.description.startswith("Changes what a model")
    )
    save_file(down, tmp_path / "a.safetensors")
    found = identify(tmp_path / "a.safetensors")
    assert found.kind == ADAPTER and "incomplete" in found.problem and not found.description


class File:
    """An open checkpoint that remembers what was read."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors
        self.read_names: list[str] = []

    @property
    def shapes(self) -> dict[str, Tensor]:
        return {name: tensor.to("meta") for name, tensor in self.tensors.items()}

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        for name in names:
            self.read_names.append(name)
            yield name, self.tensors[name]


def test_several_files_are_one_checkpoint() -> None:
    a, b = File({"x": torch.zeros(2), "y": torch.ones(3)}), File({"z": torch.full((4,), 2.0)})
    joined = Joined([a, b])
    assert {name: tuple(t.shape) for name, t in joined.shapes.items()} == {"x": (2,), "y": (3,), "z": (4,)}
    found = dict(joined.read(["z", "y"]))
    assert found.keys() == {"y", "z"} and found["y"].sum() == 3 and found["z"].sum() == 8
    assert (a.read_names, b.read_names) == (["y"], ["z"])
    with pytest.raises(WeightsError, match=r"^The tensor y is in two files; download the model again\.$"):
        Joined([a, File({"y": torch.ones(3), "z": torch.ones(1)})])


def test_recipes_make_our_tensors_of_theirs() -> None:
    file = File({"q": torch.full((2, 3), 1.0), "k": torch.full((2, 3), 2.0), "bias": torch.arange(4.0)})
    recipes = {"qk": Recipe(("q", "k"), torch.cat), "b": Recipe(("bias",)), "q": Recipe(("q",))}
    renamed = Renamed(file, recipes)
    sizes = {name: tuple(shape.shape) for name, shape in renamed.shapes.items()}
    assert sizes == {"qk": (4, 3), "b": (4,), "q": (2, 3)} and not file.read_names
    found = dict(renamed.read(["b", "qk"]))
    assert found.keys() == {"b", "qk"} and torch.equal(found["b"], torch.arange(4.0))
    assert torch.equal(found["qk"], torch.tensor([1.0, 1, 2, 2])[:, None].expand(4, 3))
    assert found["qk"].is_contiguous()
    assert sorted(file.read_names) == ["bias", "k", "q"]
    turned = Renamed(file, {"t": Recipe(("q",), lambda parts: parts[0].T)})
    assert dict(turned.read(["t"]))["t"].is_contiguous()
    assert dict(Renamed(file, unchanged(file.shapes)).read(["bias"])).keys() == {"bias"}


def test_parts_that_do_not_fit_each_other_are_named() -> None:
    file = File({name: torch.ones(2, i) for i, name in enumerate("abcd", 1)})
    with pytest.raises(WeightsError, match=r"^The checkpoint's a, b, c are of shapes that no known model"):
        Renamed(file, {"all": Recipe(tuple("abcd"), torch.cat)})
