"""Pictures and texts that other programs left, from ../shared/cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.keeping.metadata import from_parameters, read_settings
from tests.test_readers import named, noted

pytestmark = pytest.mark.shared


@pytest.fixture
def cases(shared: Path) -> Path:
    return shared / "cases" / "settings"


def texts(cases: Path) -> list[str]:
    _, *blocks = (cases / "infotexts.txt").read_text("utf-8").split("\n", 1)
    return [block.lstrip("\n") for block in blocks[0].split("==========")]


@pytest.mark.parametrize("name", ["automatic1111_cropped.jpg", "text_after_idat.png"])
def test_a1111(cases: Path, name: str) -> None:
    read = read_settings(cases / name)
    request = read.request
    assert (read.program, request.prompt, request.negative_prompt) == (
        "A1111",
        "photo of a duck",
        "monochrome",
    )
    assert (request.steps, request.sampler, request.guidance_scale) == (15, "unipc", 5.0)
    assert (request.seed, request.size, read.model_sha256) == (235284042, (512, 400), "c0d1994c73")
    assert request.model.startswith("realistic_realisticVisionV20_v20")
    noted(read, "does not say its schedule type")


def test_comfyui(cases: Path) -> None:
    read = read_settings(cases / "img2img_cropped.png")
    request = read.request
    assert read.program == "ComfyUI"
    assert request.prompt == "photograph of victorian woman with wings, sky clouds, meadow grass\n"
    assert request.negative_prompt == "watermark, text\n"
    assert (request.steps, request.sampler, request.spacing) == (20, "dpmpp_2m", "linspace")
    assert (request.seed, request.guidance_scale, request.model) == (
        280823642470253,
        8.0,
        "v1-5-pruned-emaonly",
    )
    assert "width" not in read.fields_set
    noted(read, "another picture", "denoising strength 0.87")


def test_fooocus(cases: Path) -> None:
    read = read_settings(cases / "fooocus1_cropped.png")
    request = read.request
    assert read.program == "Fooocus"
    assert request.prompt.startswith("cinematic still a smiling goldfish .")
    assert request.negative_prompt.endswith("ugly, disfigured")
    assert (request.steps, request.sampler, request.spacing) == (30, "dpmpp_2m_sde", "karras")
    assert (request.seed, request.size, request.guidance_scale) == (6952411511246973023, (768, 1280), 4.0)
    assert (request.model, read.model_sha256) == ("juggernautXL_v8Rundiffusion", "aeb7e9e689")
    noted(read, "sharpness 2", "typed was 'a smiling goldfish'")


def test_invokeai(cases: Path) -> None:
    read = read_settings(cases / "invokeai_imeta1.png")
    request = read.request
    assert (read.program, request.steps, request.sampler, request.seed) == (
        "InvokeAI",
        35,
        "euler",
        3293022630,
    )
    assert (request.size, request.guidance_scale, request.model) == ((1024, 1024), 8.0, "juggernautXL")
    assert request.prompt.startswith("digital artwork") and request.negative_prompt.startswith("grainy+")
    noted(read, "does not say its schedule type", "VAE VAEFix; control ip-adapter-plus_sdxl_vit-h 0.45")


def test_a_seed_of_64_bits_and_a_schedule_that_is_not_said(cases: Path) -> None:
    read = from_parameters(texts(cases)[0])
    assert read.request.seed == 2**64 - 1
    assert (read.request.model, read.model_sha256) == ("some model", "0123456789")
    noted(read, "does not say its schedule type; karras, which suits DPM++ 2M here, stands in")


def test_lines_of_extensions_and_what_is_not_kept(cases: Path) -> None:
    read = from_parameters(texts(cases)[1])
    assert (read.request.prompt, read.request.negative_prompt) == ("a cat, a hat", "dog")
    assert (read.request.size, read.request.spacing, read.request.steps) == ((832, 1216), "karras", 25)
    noted(read, "denoising strength 0.4; Hires upscale 1.5; Hires steps 12")
    assert named(read) == ["ink 0123456789ab"]


def test_a_prompt_that_looks_like_settings_and_a_size_out_of_range(cases: Path) -> None:
    read = from_parameters(texts(cases)[2])
    assert read.request.prompt == "first line\nSteps: 99, Seed: 1\nstill the prompt"
    assert read.request.negative_prompt == "one\ntwo"
    assert (read.request.steps, read.request.seed) == (30, 5)
    assert not {"width", "height"} & read.fields_set
    noted(read, "2560 × 1440")


def test_every_file_is_read(cases: Path) -> None:
    for file in sorted(cases.iterdir()):
        if file.suffix != ".txt":
            assert read_settings(file).request.prompt
