"""Configurations in the published schema, honest and hostile."""

from __future__ import annotations

import contextlib
import copy
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ldm_core.conditioners import (
    BoxMapSpec,
    ClassSpec,
    KnownRegionSpec,
    LabelMapSpec,
    LayoutSpec,
    MaskedImageSpec,
    TextSpec,
)
from ldm_core.errors import ConfigError
from ldm_core.formats import Defaults, read_config
from ldm_core.formats.plain_yaml import parse
from ldm_core.library.class_names import picture_classes
from ldm_core.model_spec import ModelSpec
from ldm_core.spec import AutoencoderSpec
from tests import tiny

Tree = dict[str, object]


def refused(path: Path) -> str:
    start = time.thread_time()  # of this thread alone: other work does not count
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert time.thread_time() - start < 1.0
    message = str(caught.value)
    assert str(path.parent) not in message and "\n" not in message and message.endswith(".")
    assert len(message) < 500
    return message


def written(folder: Path, content: object) -> Path:
    path = folder / "config.yaml"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), "utf-8")
    return path


def changed(place: str, value: object) -> Tree:
    """The tiny model's configuration with one value changed; None removes it."""
    config = copy.deepcopy(tiny.config())
    *sections, key = place.split(".")
    node = config
    for section in sections:
        node = cast(Tree, node[section])
    if value is None:
        del node[key]
    else:
        node[key] = value
    return config


def test_tiny_model(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, tiny.config()))
    assert config.spec == tiny.SPEC
    assert config.defaults == Defaults(
        title="Tiny",
        description="Random weights for tests.",
        licence="MIT",
        width=64,
        height=64,
        steps=5,
        guidance_scale=2.0,
        spacing="trailing",
    )


def test_noise_schedules(tmp_path: Path) -> None:
    for said, kind in (("linear", "scaled_linear"), ("sqrt_linear", "linear"), ("cosine", "cosine")):
        config = read_config(written(tmp_path, changed("model.params.beta_schedule", said)))
        assert isinstance(config.spec, ModelSpec) and config.spec.schedule.kind == kind
    betas = [0.001 * (i + 1) for i in range(tiny.SPEC.schedule.num_timesteps)]
    betas = [min(beta, 0.5) for beta in betas]
    config = read_config(written(tmp_path, changed("model.params.given_betas", betas)))
    assert isinstance(config.spec, ModelSpec) and config.spec.schedule.betas == tuple(betas)
    for wrong_betas in (betas[1:], [*betas[1:], 1.5], "many"):
        with pytest.raises(ConfigError, match="given_betas"):
            read_config(written(tmp_path, changed("model.params.given_betas", wrong_betas)))
    config = read_config(written(tmp_path, changed("model.params.zero_terminal_snr", True)))
    assert isinstance(config.spec, ModelSpec) and config.spec.schedule.zero_terminal_snr
    wrong = changed("model.params.zero_terminal_snr", True)
    cast(Tree, cast(Tree, wrong["model"])["params"])["parameterization"] = "eps"
    with pytest.raises(ConfigError, match="parameterization has to be 'v' or 'x0'"):
        read_config(written(tmp_path, wrong))


def test_published_text_to_image(shared: Path) -> None:
    config = read_config(shared / "published_configs" / "txt2img_1p4B.yaml")
    spec = config.spec
    assert isinstance(spec, ModelSpec)
    # Without an `atelier:` section it is a published model, sampled as those are.
    assert config.defaults == Defaults(steps=50, guidance_scale=5.0, spacing="uniform")
    assert (spec.unet.model_channels, spec.unet.num_heads, spec.unet.context_dim) == (320, 8, 1280)
    text = spec.conditioner(TextSpec)
    assert text is not None
    assert (text.vocab_size, text.max_length, text.depth) == (30522, 77, 32)
    assert (spec.scale_factor, spec.parameterization, spec.size_multiple) == (0.18215, "eps", 64)
    assert (spec.schedule.linear_start, spec.schedule.linear_end) == (0.00085, 0.012)


@pytest.mark.parametrize(
    ("name", "factor", "entries"),
    [
        ("kl-f4", 4, 0),
        ("kl-f8", 8, 0),
        ("kl-f16", 16, 0),
        ("kl-f32", 32, 0),
        ("vq-f4", 4, 8192),
        ("vq-f4-noattn", 4, 8192),
        ("vq-f8", 8, 16_384),
        ("vq-f8-n256", 8, 256),
        ("vq-f16", 16, 16_384),
    ],
)
def test_published_first_stages(name: str, factor: int, entries: int, shared: Path) -> None:
    spec = read_config(shared / "published_configs" / f"first_stage_{name}.yaml").spec
    assert isinstance(spec, AutoencoderSpec)
    assert (spec.downsampling, spec.n_embed) == (factor, entries)
    assert spec.attention == ("noattn" not in name)


def published(model: str, shared: Path) -> ModelSpec:
    spec = read_config(shared / "published_configs" / f"{model}.yaml").spec
    assert isinstance(spec, ModelSpec)
    return spec


@pytest.mark.parametrize(
    ("model", "conditioners", "own_tasks"),
    [
        ("celeba256", (), {"unconditional"}),
        ("ffhq256", (), {"unconditional"}),
        ("lsun_beds256", (), {"unconditional"}),
        ("lsun_churches256", (), {"unconditional"}),
        ("cin256", (ClassSpec(1000, 512),), {"class"}),
        ("cin256_v2", (ClassSpec(1001, 512),), {"class", "unconditional"}),
        ("text2img256", (TextSpec(640, 32, 30_522, 77),), {"text-to-image", "unconditional"}),
        ("layout2img", (LayoutSpec(512, 16, 8192, 92),), {"layout"}),
        ("semantic256", (LabelMapSpec(182, 3, 2),), {"semantic"}),
        ("semantic512", (LabelMapSpec(182, 3, 2),), {"semantic"}),
    ],
)
def test_published_models_and_what_they_can_do(
    model: str, conditioners: tuple[object, ...], own_tasks: set[str], shared: Path
) -> None:
    spec = published(model, shared)
    assert spec.conditioners == conditioners
    by_prompts = {"semantic", "layout"} if "text-to-image" in own_tasks else set()
    assert spec.tasks == own_tasks | by_prompts | {"inpaint", "image-to-image"}


def test_published_models_of_one_task(shared: Path) -> None:
    assert published("bsr_sr", shared).tasks == {"super-resolution"}
    assert published("inpainting_big", shared).tasks == {"inpaint"}
    assert published("inpainting_big", shared).conditioners == (MaskedImageSpec(),)


def test_scale_that_is_in_the_checkpoint(shared: Path) -> None:
    assert published("lsun_churches256", shared).scale_factor is None
    assert published("celeba256", shared).scale_factor == 1.0


def test_our_concatenated_conditions(tmp_path: Path) -> None:
    config = changed("model.params.conditioning_key", "hybrid")
    params = cast(Tree, cast(Tree, config["model"])["params"])
    params["concat_conditions"] = ["known_region", {"label_map": ["sky", "lake"]}, {"box_map": ["sun"]}]
    cast(Tree, cast(Tree, params["unet_config"])["params"])["in_channels"] = 4 + 5 + 2 + 1
    spec = read_config(written(tmp_path, config)).spec
    assert isinstance(spec, ModelSpec)
    ours = (KnownRegionSpec(), LabelMapSpec(2, classes=("sky", "lake")), BoxMapSpec(("sun",)))
    assert spec.conditioners == (*tiny.SPEC.conditioners, *ours)
    own = {"text-to-image", "unconditional", "semantic", "layout"}
    assert spec.tasks == own | {"inpaint", "image-to-image"}


def test_classes_that_stand_for_prompts(tmp_path: Path) -> None:
    prompts = {"Lake": "a lake", "Noon": "the lake at noon"}
    spec = read_config(written(tmp_path, changed("atelier.classes", prompts))).spec
    assert isinstance(spec, ModelSpec)
    assert spec == replace(tiny.SPEC, class_prompts=tuple(prompts.items())) and "class" in spec.tasks
    assert picture_classes(spec) == ("Lake", "Noon")
    for wrong in (["a lake"], {"Lake": 3}, {"": "a lake"}):
        with pytest.raises(ConfigError, match=r"atelier\.classes"):
            read_config(written(tmp_path, changed("atelier.classes", wrong)))


@pytest.mark.parametrize(
    "conditions",
    ["known_region", ["mask"], [{"label_map": []}], [{"label_map": ["a", "a"]}], [{"box_map": [1]}], [["x"]]],
)
def test_wrong_concatenated_conditions_are_named(conditions: object, tmp_path: Path) -> None:
    assert "model.params.concat_conditions" in refused(
        written(tmp_path, changed("model.params.concat_conditions", conditions))
    )


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        ("model.target", "os.system", "model.target is 'os.system'"),
        ("model.target", "subprocess.Popen", "'subprocess.Popen'"),
        ("model.target", ["x"], "model.target is ['x']"),
        ("model.params.unet_config.target", "os.system", "unet_config.target"),
        ("model.params.unet_config", None, "unet_config is missing"),
        ("model.params.first_stage_config.target", "ldm.models.autoencoder.VQModelInterface", "double_z"),
        (
            "model.params.cond_stage_config.target",
            "ldm.modules.encoders.modules.ClassEmbedder",
            "is not known",
        ),
        ("model.params.cond_stage_config", "__is_unconditional__", "no numbers a token"),
        ("model.params.cond_stage_config", "__is_first_stage__", "'concat' with these conditioners"),
        ("model.params.conditioning_key", "concat", "conditioning_key is 'concat'"),
        ("model.params.linear_start", None, "linear_start is missing"),
        ("model.params.linear_start", True, "linear_start is True"),
        ("model.params.linear_start", 0.4, "linear_end is 0.012"),
        ("model.params.timesteps", "1000", "timesteps is '1000'"),
        ("model.params.timesteps", 10**9, "timesteps is 1000000000"),
        ("model.params.parameterization", "noise", "'eps' or 'v' or 'x0'"),
        ("model.params.scale_by_std", 1, "scale_by_std"),
        ("model.params.beta_schedule", "sigmoid", "beta_schedule"),
        ("model.params.zero_terminal_snr", 1, "true or false"),
        ("model.params.scale_factor", 0, "scale_factor is 0"),
        ("model.params.unet_config.params.model_channels", 10**12, "model_channels"),
        ("model.params.unet_config.params.model_channels", 33, "multiple of 32"),
        ("model.params.unet_config.params.channel_mult", [], "channel_mult"),
        ("model.params.unet_config.params.channel_mult", [1] * 50, "channel_mult"),
        ("model.params.unet_config.params.num_heads", None, "one of num_heads"),
        ("model.params.unet_config.params.num_heads", 7, "divisor"),
        ("model.params.unet_config.params.num_head_channels", 7, "divisor"),
        ("model.params.unet_config.params.context_dim", 33, "have to be equal"),
        ("model.params.unet_config.params.in_channels", 9, "it has to take 4"),
        ("model.params.unet_config.params.use_scale_shift_norm", 2, "use_scale_shift_norm is 2"),
        (
            "model.params.unet_config.params.use_spatial_transformer",
            None,
            "context_dim is 32",
        ),
        ("model.params.unet_config.params.new_trick", 1, "new_trick is not known"),
        ("model.params.first_stage_config.params.ddconfig.double_z", False, "double_z"),
        ("model.params.first_stage_config.params.ddconfig.attn_type", "linear", "attn_type"),
        ("model.params.cond_stage_config.params.n_layer", 1.5, "n_layer is 1.5"),
        ("atelier.width", 7, "atelier.width is 7"),
        ("atelier.spacing", "random", "'trailing' or 'uniform'"),
        ("atelier.title", 5, "atelier.title is 5"),
        ("atelier.description", "x" * 20_000, "at most 10,000 characters"),
        ("atelier", [1], "atelier is missing or not a section"),
    ],
)
def test_wrong_values_are_named(place: str, value: object, reason: str, tmp_path: Path) -> None:
    before = set(sys.modules)
    assert reason in refused(written(tmp_path, changed(place, value)))
    assert not {m for m in set(sys.modules) - before if not m.startswith(("yaml", "_"))}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("!!python/object/apply:os.system ['true']", "tag"),
        ("a: !!python/name:os.system ''", "tag"),
        ("a: &x [1]\nb: *x", "anchors"),
        ("a: &a [x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(9)), "anchors"),
        ("[" * 5000, "too deep"),
        ("{a: " * 5000, "too deep"),
        ("- a\n" * 20_000, "too long"),
        ("a: " + "9" * 5000, "model is missing"),
        ("a: 1e999", "too large"),
        ("a: 1\na: 2", "two entries"),
        ("1: 2", "not a word"),
        ("[a]: 2", "not a word"),
        ("a: 1\n---\nb: 2", "2 YAML documents"),
        ("", "0 YAML documents"),
        ("a: [", "line 2 is not valid YAML"),
        ("just text", "not a section"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"a: \x00", "not valid YAML"),
        (b"#" * 300_000, "at most 256,000"),
    ],
)
def test_strange_yaml(content: object, reason: str, tmp_path: Path) -> None:
    assert reason in refused(written(tmp_path, content))


def test_values() -> None:
    text = b'\xef\xbb\xbf{a: 1, b: -2.5e-05, c: 1e-4, d: true, e: null, f: "1", g: yes, h: [], i: .5}'
    expected = {
        "a": 1,
        "b": -2.5e-05,
        "c": 1e-4,
        "d": True,
        "e": None,
        "f": "1",
        "g": "yes",
        "h": [],
        "i": 0.5,
    }
    assert parse(text, "x") == expected


def test_only_files(tmp_path: Path) -> None:
    assert "not a file" in refused(tmp_path)
    assert "not a file" in refused(tmp_path / "missing.yaml")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    target=st.text(max_size=30) | st.sampled_from(["os.system", "ldm.models.diffusion.ddpm.LatentDiffusion"]),
    place=st.sampled_from(["model.target", "model.params.unet_config.target", "model.params.scale_factor"]),
)
def test_no_target_is_ever_imported(target: str, place: str, tmp_path: Path) -> None:
    path = written(tmp_path, changed(place, target or "x"))
    before = set(sys.modules)
    with contextlib.suppress(ConfigError):
        read_config(path)
    assert set(sys.modules) == before


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet="{}[]:,&*!|>-?'\" \n#%@a1.e", max_size=200).map(str.encode))
def test_any_bytes(data: bytes) -> None:
    try:
        parse(data, "config.yaml")
    except ConfigError as error:
        assert str(error).startswith("config.yaml")
