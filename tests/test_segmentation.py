"""Maps from pictures: models for segmentation are found, opened safely, and their classes become ours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessorPil

from app.form.from_picture import painted
from app.widgets.palettes import class_names, nearest, palette_of
from ldm_core.errors import AtelierError, FileError
from ldm_core.formats.identify import SEGMENTATION
from ldm_core.library.models import ModelLibrary
from ldm_core.library.segmentation import segments

NAMES = ("sky", "tree", "earth, ground", "sea", "person")
SCENES = class_names("scenes")


def write_segmenter(folder: Path, names: tuple[str, ...] = NAMES) -> Path:
    """A tiny one that finds the first name where a picture is dark and the second where it is bright."""
    config = SegformerConfig(
        num_encoder_blocks=1,
        depths=[1],
        sr_ratios=[1],
        hidden_sizes=[8],
        patch_sizes=[3],
        strides=[2],
        num_attention_heads=[1],
        mlp_ratios=[1],
        decoder_hidden_size=8,
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SegformerForSemanticSegmentation(config).eval()
    pictures = torch.stack([torch.full((3, 32, 32), level) for level in (-2.0, 2.0)])
    with torch.no_grad():
        # From the features of the two pictures to the two classes; the other classes are never the highest.
        head = model.decode_head.classifier
        seen: list[torch.Tensor] = []
        hook = head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        model(pictures)
        hook.remove()
        dark, bright = (one.mean(dim=(1, 2)) for one in seen[0])
        towards = (bright - dark) / (bright - dark).norm() ** 2
        head.weight.zero_()
        head.bias.fill_(-9.0)
        head.weight[1, :, 0, 0] = towards
        head.bias[:2] = torch.tensor([0.0, -float(towards @ (bright + dark) / 2)])
    model.save_pretrained(folder)
    SegformerImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_segmenter(tmp_path_factory.mktemp("models") / "eyes")


def half_dark(height: int = 40, width: int = 60) -> np.ndarray:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, width // 2 :] = 255
    return pixels


def test_a_model_is_found_and_says_what_is_where(segmenter: Path) -> None:
    library = ModelLibrary([segmenter.parent])
    (entry,) = library.entries()
    assert (entry.kind, entry.family, entry.problem) == (SEGMENTATION, "Segformer", "")
    assert entry.num_parameters > 100 and not entry.is_usable  # it makes no pictures
    assert library.names() == ()
    found = dict(segments(entry.path, half_dark()))
    assert found.keys() == {"sky", "tree"}
    assert found["sky"].shape == (40, 60)
    assert found["sky"][:, :25].all() and found["tree"][:, 35:].all()
    assert (found["sky"] ^ found["tree"]).all()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("pickle", "has no model.safetensors.*pickles"),
        ("code", "asks for code or files from elsewhere.*auto_map"),
        ("nested", "asks for code or files from elsewhere.*use_pretrained_backbone"),
        ("no processor", "lacks preprocessor_config.json"),
        ("huge", "height 100000"),
        ("larger", "describes more weights"),
        ("other", "cannot be used"),
    ],
)
def test_what_is_not_safe_or_not_whole_is_refused_in_a_sentence(
    segmenter: Path, tmp_path: Path, change: str, sentence: str
) -> None:
    folder = shutil.copytree(segmenter, tmp_path / "eyes")
    ran = tmp_path / "ran"
    (folder / "code.py").write_text(f"open({str(ran)!r}, 'w')\n", "utf-8")
    for name in ("config.json", "preprocessor_config.json"):
        obj = json.loads((folder / name).read_text("utf-8"))
        if name == "config.json":
            obj |= {"code": {"auto_map": {"AutoModel": "code.Model"}}}.get(change, {})
            obj |= {"nested": {"backbone_config": {"use_pretrained_backbone": True}}}.get(change, {})
            obj |= {"larger": {"hidden_sizes": [4096]}, "other": {"hidden_sizes": "many"}}.get(change, {})
        elif change == "huge":
            obj["size"]["height"] = 100_000
        (folder / name).write_text(json.dumps(obj), "utf-8")
    if change == "pickle":
        torch.save({}, folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    if change == "no processor":
        (folder / "preprocessor_config.json").unlink()
    (entry,) = ModelLibrary([tmp_path]).entries()
    assert entry.kind == SEGMENTATION and bool(entry.problem) == (change not in ("larger", "other"))
    with pytest.raises(AtelierError, match=sentence) as raised:
        segments(entry.path, half_dark())
    assert entry.problem in ("", str(raised.value))
    assert not ran.exists()


def test_classes_of_other_lists_become_those_that_can_be_painted() -> None:
    scenes, stuff = palette_of(SCENES), palette_of(class_names("coco-stuff"))
    for name, ours, theirs in (
        ("sky", "sky", "sky-other"),
        ("Earth, ground", "sand", "dirt"),
        ("mountain, mount", "mountain", "mountain"),
        ("building, edifice", "house", "building-other"),
        ("grass-merged", "meadow", "grass"),
        ("vegetation", "tree", "tree"),
        ("person", None, "person"),
        ("quark", None, None),
    ):
        found = [(nearest(name, palette), palette) for palette in (scenes, stuff)]
        assert [None if i is None else palette[i].name for i, palette in found] == [ours, theirs], name


def test_what_has_no_class_stays_empty() -> None:
    where = np.arange(64).reshape(8, 8)
    found = [("sky", where < 16), ("sea", (where >= 16) & (where < 40)), ("person", where >= 40)]
    labels, left = painted(found, palette_of(SCENES))
    assert left == ["person"]
    counts = {name: int((labels == SCENES.index(name)).sum()) for name in ("sky", "water")}
    assert counts == {"sky": 16, "water": 24} and (labels.ravel()[40:] == 255).all()
    with pytest.raises(FileError, match=r"Nothing in the picture has a class here: person\."):
        painted([("person", where >= 0)], palette_of(SCENES))
