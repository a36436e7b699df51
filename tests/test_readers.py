"""Settings of other programs: what each format says, what is kept of it, and what is told of the rest."""

from __future__ import annotations

import hashlib
import json
import time
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.keeping.metadata import from_parameters, read_settings, to_parameters
from app.keeping.readers import READERS, Settings
from app.keeping.readers.models import at_home
from ldm_core.errors import AtelierError, FileError
from ldm_core.library.index import Entry
from ldm_core.request import TextToImage
from ldm_core.request.extensions import ADAPTER, EMBEDDING, AdapterUse
from tests import carrying
from tests.carrying import png, png_of, stealth, with_chunk, with_exif

A1111 = (
    "a boat, ünï 🎨\nNegative prompt: fog\nSteps: 25, Sampler: Euler a, Schedule type: Karras, "
    "CFG scale: 6.5, Seed: 12, Size: 832x1216, Model hash: 0123456789, Model: ink, Version: v1.10.1"
)
BOAT = TextToImage(
    prompt="a boat, ünï 🎨",
    negative_prompt="fog",
    steps=25,
    sampler="euler_ancestral",
    spacing="karras",
    guidance_scale=6.5,
    seed=12,
    width=832,
    height=1216,
    model="ink",
)


def noted(read: Settings, *words: str) -> None:
    """Each note holds one of the words, in this order."""
    assert len(read.notes) == len(words), read.notes
    for note, word in zip(read.notes, words, strict=True):
        assert word in note


def named(read: Settings) -> list[str]:
    """Its LoRAs, with their weights and hashes."""
    return [str(lora) for lora in read.loras]


# Where the text stands -----------------------------------------------------------------------------------

WIDE, NARROW = A1111.encode("utf-16-be"), A1111.encode("utf-16-le")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png_of({"parameters": A1111}), id="png"),
        pytest.param(
            with_chunk(b"tEXt", b"parameters\0" + A1111.encode()), id="tEXt in UTF-8 behind the pixels"
        ),
        pytest.param(with_chunk(b"zTXt", b"parameters\0\0" + zlib.compress(A1111.encode())), id="zTXt"),
        pytest.param(
            with_chunk(b"iTXt", b"parameters\0\1\0en\0x\0" + zlib.compress(A1111.encode())), id="packed iTXt"
        ),
        *(
            pytest.param(with_exif(format, comment=b"UNICODE\0" + text), id=f"{format}, {order}")
            for format in ("JPEG", "WEBP", "AVIF", "PNG")
            for order, text in (("big", WIDE), ("little", NARROW), ("marked", b"\xff\xfe" + NARROW))
        ),
        pytest.param(with_exif("JPEG", comment=b"ASCII\0\0\0" + A1111.encode()), id="JPEG, UTF-8"),
        pytest.param(with_exif("JPEG", comment=A1111.encode()), id="JPEG, no code"),
        pytest.param(carrying.saved("JPEG", comment=A1111.encode()), id="JPEG's comment"),
        pytest.param(carrying.saved("GIF", comment=A1111.encode()), id="GIF's comment"),
        *(
            pytest.param(
                stealth(A1111, alpha=alpha, packed=packed, format=format), id=f"{format} {alpha} {packed}"
            )
            for format in ("PNG", "WEBP")
            for alpha in (True, False)
            for packed in (True, False)
        ),
    ],
)
def test_a1111s_text_is_found_wherever_it_stands(data: bytes) -> None:
    read = read_settings(data)
    assert (read.request, read.model_sha256, read.notes, read.program) == (BOAT, "0123456789", (), "A1111")


def test_settings_in_pixels_count_where_nothing_else_is_there() -> None:
    hidden = stealth(A1111, alpha=True, packed=True)
    plain = A1111.replace("Seed: 12", "Seed: 13")
    assert read_settings(with_chunk(b"tEXt", b"parameters\0" + plain.encode(), hidden)).request.seed == 13
    assert read_settings(with_chunk(b"tEXt", b"Author\0me", hidden)).request.seed == 12


# A1111's text --------------------------------------------------------------------------------------------


def test_what_a_request_cannot_hold_is_listed() -> None:
    read = from_parameters(
        "a <lora:ink:0.8> boat\nSteps: 20, Sampler: DDIM, CFG scale: 7, Seed: 1, Size: 512x512, "
        "Denoising strength: 0.4, Clip skip: 2, Hires upscale: 1.5, Hires upscaler: Latent, "
        "VAE: kl.safetensors, "
        'Variation seed: 9, Variation seed strength: 0.1, Lora hashes: "ink: 0123456789ab", ENSD: 31337, '
        'ControlNet 0: "Module: canny, Model: control_v11 [d14c016b], Weight: 0.7, Resize Mode: Crop", '
        'Hashes: {"model": "a, b: c"}, Version: v1.9'
    )
    assert read.request.prompt == "a <lora:ink:0.8> boat"
    noted(read, "Not kept")
    for word in (
        "denoising strength 0.4", "Hires upscale 1.5", "Hires upscaler Latent", "VAE kl",
        "seed 9, strength 0.1", "ENSD 31337", "canny control_v11 [d14c016b] 0.7",
    ):  # fmt: skip
        assert word in read.notes[0]
    assert read.request.clip_skip == 2
    assert named(read) == ["ink 0.8 0123456789ab"]
    assert "Version" not in read.notes[0] and "Hashes" not in read.notes[0]


@pytest.mark.parametrize(
    ("emphasis", "weighting"),
    [("", "a1111"), (", Emphasis: No norm", "no_norm"), (", Emphasis: Ignore", "ignore")],
)
def test_what_weights_do_is_read(emphasis: str, weighting: str) -> None:
    read = from_parameters(f"(x:1.2)\nSteps: 20, Seed: 1{emphasis}")
    assert (read.request.prompt_syntax, read.request.prompt_weighting) == ("a1111", weighting)
    assert read.notes == ()


def test_what_has_no_effect_is_not_listed() -> None:
    read = from_parameters("x\nSteps: 20, Seed: 1, Clip skip: 1, Variation seed strength: 0, Version: v1.9")
    assert read.notes == ()


def test_a_picture_from_a_picture_is_told() -> None:
    noted(
        from_parameters("x\nSteps: 20, Seed: 1, Denoising strength: 0.4"), "another picture", "strength 0.4"
    )


@pytest.mark.parametrize(
    ("before", "prompt", "negative", "words"),
    [
        ("a\nSteps: 1\nb", "a\nSteps: 1\nb", "", ()),
        ("a\nSteps: 99, Seed: 3, Sampler: x\nb", "a\nSteps: 99, Seed: 3, Sampler: x\nb", "", ()),
        ("a, Negative prompt: b", "a, Negative prompt: b", "", ()),
        ("Negative prompt: b", "", "b", ()),
        (
            "a\nNegative prompt: b\nNegative prompt: c",
            "a",
            "b\nNegative prompt: c",
            ("Several of its lines",),
        ),
        ("", "", "", ()),
    ],
)
def test_prompts_that_look_like_settings(
    before: str, prompt: str, negative: str, words: tuple[str, ...]
) -> None:
    for end in ("", "\n", "\n   \n\n", "\r\n"):
        read = from_parameters(f"{before}\nSteps: 20, Sampler: DDIM, Seed: 5{end}")
        assert (read.request.prompt, read.request.negative_prompt) == (prompt, negative)
        assert (read.request.steps, read.request.seed) == (20, 5)
        noted(read, *words)


def test_lines_behind_the_settings() -> None:
    line = "Steps: 20, Sampler: DDIM, Seed: 5"
    read = from_parameters(f"a\n{line}\nTemplate: a {{b|c}}\nSteps: 9, Seed: 9\nNegative Template: d")
    assert (read.request.prompt, read.request.steps, read.notes) == ("a", 20, ())
    noted(from_parameters(f"a\n{line}\nwho knows"), "who knows")
    # A prompt that was pasted with all that stood under it.
    pasted = "x\nSteps: 9, Seed: 9\nTemplate: x"
    read = from_parameters(f"{pasted}\n{line}")
    assert (read.request.prompt, read.request.steps) == (pasted, 20)


PIECES = [
    "Steps: 1", "Steps: 9, Sampler: Euler, Seed: 3", "Negative prompt:", "Template: x", "\n", "\n\n", ", ",
    ": ", '"', "\\", "'", "<lora:a:0.5>", "{a|b}", "(b:1.2)", "[c]", "🎨", "שלום", "\u202eabc\u202c", "日本",
    " ", "a", "\t", "\u2028", "é", "Ã©",
]  # fmt: skip
hostile = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@given(hostile, hostile)
@example("Steps: 1, Seed: 2\nTemplate:", "x")
@settings(max_examples=300, deadline=None)
def test_any_prompt_survives_a1111s_text(prompt: str, negative: str) -> None:
    request = TextToImage(prompt=prompt, negative_prompt=negative)
    read = from_parameters(to_parameters(request))
    if not any(line.startswith("Negative prompt:") for line in prompt.split("\n")):  # cannot be told apart
        assert read.request == request
    assert from_parameters(to_parameters(read.request)).request == read.request


@pytest.mark.parametrize("sampler", ["DDIM", "Euler", "Euler a", "Heun", "DPM++ 2M", "DPM++ 2M SDE", "UniPC"])
@pytest.mark.parametrize("schedule", ["Karras", "Uniform", "SGM Uniform", "DDIM"])
def test_a1111s_text_keeps_what_both_know(sampler: str, schedule: str) -> None:
    text = (
        f"a boat\nNegative prompt: fog\nSteps: 20, Sampler: {sampler}, Schedule type: {schedule}, "
        "CFG scale: 6.5, Seed: 18446744073709551615, Size: 832x1216, Model hash: 0123456789, Model: ink"
    )
    read = from_parameters(text)
    assert read.notes == ()
    assert to_parameters(read.request, read.model_sha256) == text


# InvokeAI ------------------------------------------------------------------------------------------------


def test_invokeai_3_and_later() -> None:
    read = read_settings(
        png_of(
            {
                "invokeai_metadata": {
                    "generation_mode": "txt2img", "positive_prompt": "a boat", "negative_prompt": "fog",
                    "width": 512, "height": 768, "seed": 7, "cfg_scale": 6, "steps": 30, "clip_skip": 1,
                    "scheduler": "dpmpp_2m_k", "rand_device": "cpu",
                    "model": {"key": "k", "hash": "blake3:00", "name": "Dreamer", "base": "sd-1"},
                    "loras": [{"model": {"name": "ink"}, "weight": 0.75}],
                    "controlnets": [{"control_model": {"name": "canny"}, "control_weight": 0.5}],
                    "hrf_enabled": True, "hrf_strength": 0.4, "app_version": "5.0.0",
                }
            }
        )
    )  # fmt: skip
    request = read.request
    assert (request.prompt, request.negative_prompt, request.seed) == ("a boat", "fog", 7)
    assert (request.sampler, request.spacing, request.steps) == ("dpmpp_2m", "karras", 30)
    assert (request.size, request.guidance_scale, request.model) == ((512, 768), 6.0, "Dreamer")
    assert (read.program, read.model_sha256) == ("InvokeAI", None)
    noted(read, "control canny 0.5; hrf_enabled true; hrf_strength 0.4")
    assert named(read) == ["ink 0.75"]


def test_invokeai_2() -> None:
    image = {
        "prompt": [{"prompt": "a boat, [fog]", "weight": 1.0}], "steps": 50, "cfg_scale": 5, "threshold": 0,
        "perlin": 0, "seed": 2980747362, "height": 768, "width": 512, "seamless": False, "hires_fix": False,
        "type": "txt2img", "postprocessing": [{"type": "esrgan", "scale": 4}], "sampler": "ddim",
        "variations": [],
    }  # fmt: skip
    outer = {
        "model": "stable diffusion",
        "app_id": "invoke-ai/InvokeAI",
        "model_weights": "dreamer",
        "model_hash": "ab" * 32,
        "image": image,
    }
    read = read_settings(png_of({"sd-metadata": outer, "Dream": '"other" -s 1 -S 1'}))
    assert (read.request.prompt, read.request.negative_prompt) == ("a boat", "fog")
    assert (read.request.sampler, read.request.spacing, read.request.size) == ("ddim", "uniform", (512, 768))
    assert (read.request.model, read.model_sha256) == ("dreamer", "ab" * 32)
    noted(read, "postprocessing")


@pytest.mark.parametrize(
    "words",
    ["-s 50 -S 29 -W 512 -H 768 -C 5.0 -A ddim -U 4 0.75", "-s50 -S29 -W512 -H768 -C5.0 --sampler=ddim -U 4"],
)
def test_invokeai_1(words: str) -> None:
    read = read_settings(png(Dream=f'"a boat, [fog] on "the" lake" {words}'))
    assert (read.request.prompt, read.request.negative_prompt) == ('a boat, on "the" lake', "fog")
    assert (read.request.steps, read.request.seed, read.request.guidance_scale) == (50, 29, 5.0)
    assert (read.request.size, read.request.sampler) == ((512, 768), "ddim")
    noted(read, "Not kept: U 4")


# Fooocus, NovelAI, SwarmUI, Draw Things ------------------------------------------------------------------

FOOOCUS = {
    "prompt": "a boat", "negative_prompt": "fog", "full_prompt": ["a boat", "sharp"],
    "full_negative_prompt": ["fog"],
    "steps": 30, "sampler": "dpmpp_2m_sde_gpu", "scheduler": "karras", "guidance_scale": 4, "seed": "7",
    "resolution": "(768, 1280)", "base_model": "ink", "base_model_hash": "aeb7e9e689", "clip_skip": 2,
    "loras": [["sharp", 0.1, "0123456789"]], "metadata_scheme": "fooocus", "vae": "Default (model)",
    "version": "Fooocus v2.5.5", "styles": "['Sharp']", "sharpness": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        png_of({"parameters": FOOOCUS, "fooocus_scheme": "fooocus"}),
        with_exif("WEBP", tags={0x9286: json.dumps(FOOOCUS), 0x131: "Fooocus v2.5.5", 0x927C: "fooocus"}),
    ],
)
def test_fooocus(data: bytes) -> None:
    read = read_settings(data)
    assert (read.program, read.request.prompt, read.request.seed) == ("Fooocus", "a boat, sharp", 7)
    assert (read.request.sampler, read.request.spacing, read.request.size) == (
        "dpmpp_2m_sde", "karras", (768, 1280),
    )  # fmt: skip
    assert (read.request.model, read.model_sha256) == ("ink", "aeb7e9e689")
    noted(read, "sharpness 2", "typed was 'a boat'")
    assert named(read) == ["sharp 0.1 0123456789"]


def test_a1111s_hashes_name_the_model_the_loras_and_the_embeddings(tmp_path: Path) -> None:
    """As JSON behind the settings; what stands by itself is the newer word."""
    model, ink, learnt, lost = "12" * 32, "ab" * 32, "cd" * 32, "ef" * 32
    hashes = {"model": model[:10], "lora:inked": ink[:10], "embed:worn": learnt[:10], "embed:none": lost[:10]}
    read = from_parameters(
        "a boat <lora:inked:0.5>, worn, none, old\nSteps: 20, Sampler: Euler a, Schedule type: Normal, "
        f'Seed: 1, TI hashes: "old: {"0" * 12}", Hashes: {json.dumps(hashes)}'
    )
    assert read.model_sha256 == model[:10] and named(read) == [f"inked 0.5 {ink[:10]}"]
    entries = [
        replace(Entry("photo", tmp_path / "photo", "model", 1, tasks=("text-to-image",)), sha256=model),
        replace(Entry("pen", tmp_path / "pen", ADAPTER, 1), sha256=ink),
        replace(Entry("torn", tmp_path / "torn", EMBEDDING, 1), sha256=learnt),
        Entry("OLD", tmp_path / "old", EMBEDDING, 1),
    ]
    here = at_home(read, entries[:1], entries, lambda _: None)
    assert here.request.model == "photo"
    assert here.request.adapters == (AdapterUse("pen", 0.5, 0.5),)
    noted(here, "'worn' is called 'torn' here", "'none' is not here")
    assert from_parameters(f"a\nSteps: 1, Seed: 1, Hashes: {'[' * 500}").model_sha256 is None


def test_fooocus_in_a1111s_form() -> None:
    text = (
        "a boat\nNegative prompt: fog\nSteps: 30, Sampler: DPM++ 2M SDE Karras, Seed: 7, Size: 768x1280, "
        'CFG scale: 4, Sharpness: 2, ADM Guidance: "(1.5, 0.8, 0.3)", Model: ink, Model hash: aeb7e9e689, '
        'Performance: Speed, Scheduler: karras, VAE: "Default (model)", Raw prompt: a boat, '
        'Lora hashes: "sharp: 01234567", Lora weights: "sharp: 0.1", Version: Fooocus v2.5.5'
    )
    read = read_settings(png_of({"parameters": text, "fooocus_scheme": "a1111"}))
    assert (read.program, read.request.sampler, read.request.spacing) == ("Fooocus", "dpmpp_2m_sde", "karras")
    noted(read, "Sharpness 2; ADM Guidance (1.5, 0.8, 0.3)")
    assert named(read) == ["sharp 0.1 01234567"]


NOVELAI = {
    "prompt": "a boat", "steps": 28, "height": 1216, "width": 832, "scale": 5.0, "uncond_scale": 1.0,
    "cfg_rescale": 0.2, "seed": 3141592653, "n_samples": 1, "noise_schedule": "karras",
    "sampler": "k_euler_ancestral", "uc": "fog", "request_type": "PromptGenerateRequest", "sm": False,
}  # fmt: skip
TEXTS = {
    "Title": "NovelAI generated image",
    "Description": "a boat",
    "Software": "NovelAI",
    "Source": "NovelAI Diffusion V4 4F49EC75",
    "Comment": json.dumps(NOVELAI),
}


@pytest.mark.parametrize(
    "data",
    [
        png(**TEXTS),
        stealth(json.dumps(TEXTS), alpha=True, packed=True),
        with_exif("WEBP", comment=b"ASCII\0\0\0" + json.dumps(TEXTS).encode()),
    ],
)
def test_novelai(data: bytes) -> None:
    read = read_settings(data)
    assert (read.program, read.request.model) == ("NovelAI", "NovelAI Diffusion V4")
    assert (read.request.prompt, read.request.negative_prompt) == ("a boat", "fog")
    assert (read.request.sampler, read.request.spacing) == ("euler_ancestral", "karras")
    assert (read.request.guidance_rescale, read.request.seed, read.request.size) == (
        0.2,
        3141592653,
        (832, 1216),
    )
    assert read.notes == ()


def test_novelais_characters_are_joined() -> None:
    captions = [{"char_caption": "a girl", "centers": [{"x": 0.5, "y": 0.5}]}, {"char_caption": "a boy"}]
    comment = NOVELAI | {"v4_prompt": {"caption": {"base_caption": "a boat", "char_captions": captions}}}
    read = read_settings(png(**TEXTS | {"Comment": json.dumps(comment)}))
    assert read.request.prompt == "a boat, a girl, a boy"
    noted(read, "characters")


SWARM = {
    "sui_image_params": {
        "prompt": "a boat", "negativeprompt": "fog", "model": "official/sd_xl_base_1.0", "seed": 1,
        "steps": "20", "cfgscale": 7.0, "width": 1024, "height": 768, "sampler": "dpmpp_2m",
        "scheduler": "karras", "loras": ["ink"], "loraweights": ["0.5"], "automaticvae": True,
        "swarm_version": "0.9.3.1",
        "clipstopatlayer": -2, "refinermethod": "PostApply", "freeu": "1.1",
    },
    "sui_extra_data": {"date": "2025-01-25"},
    "sui_models": [{"name": "ink.safetensors", "param": "loras", "hash": "0x" + "ab" * 32}],
}  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        png_of({"parameters": SWARM}),
        with_exif("JPEG", comment=b"UNICODE\0" + json.dumps(SWARM, indent=2).encode("utf-16-be")),
        stealth(json.dumps(SWARM), alpha=False, packed=True),
    ],
)
def test_swarmui(data: bytes) -> None:
    read = read_settings(data)
    assert (read.program, read.request.model, read.request.size) == ("SwarmUI", "sd_xl_base_1.0", (1024, 768))
    assert (read.request.steps, read.request.sampler, read.request.spacing) == (20, "dpmpp_2m", "karras")
    noted(read, "refinermethod PostApply; freeu 1.1")
    assert named(read) == ["ink 0.5 abababababab"]


def packet(comment: str, more: str = "") -> str:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="Draw Things"><exif:UserComment><rdf:Alt>'
        f'<rdf:li xml:lang="x-default">{comment}</rdf:li></rdf:Alt></exif:UserComment></rdf:Description>'
        f"{more}</rdf:RDF></x:xmpmeta>"
    )


DRAWN = packet(
    '{"c":"a &lt;big&gt; boat","uc":"fog","seed":5,"steps":20,"scale":4.5,"sampler":"DPM++ 2M Karras",'
    '"model":"sd_xl_base_1.0_f16.ckpt","size":"1024x768","strength":1,"seed_mode":"Scale Alike",'
    '"lora":[{"model":"ink.ckpt","weight":0.6}]}'
)


def test_a_packet_with_entities_is_not_read() -> None:
    entity = '<!DOCTYPE a [<!ENTITY boat "boat">]>' + DRAWN.replace("boat", "&boat;")
    with pytest.raises(FileError, match="carries no settings"):
        read_settings(png_of({"XML:com.adobe.xmp": entity}))


@pytest.mark.parametrize(
    "data", [png_of({"XML:com.adobe.xmp": DRAWN}), carrying.saved("JPEG", xmp=DRAWN.encode())]
)
def test_draw_things(data: bytes) -> None:
    read = read_settings(data)
    assert (read.program, read.request.prompt) == ("Draw Things", "a <big> boat")
    assert (read.request.model, read.request.size) == ("sd_xl_base_1.0_f16", (1024, 768))
    assert (read.request.sampler, read.request.spacing, read.request.guidance_scale) == (
        "dpmpp_2m",
        "karras",
        4.5,
    )
    assert (named(read), read.notes) == (["ink 0.6"], ())


# Models --------------------------------------------------------------------------------------------------


def entry(name: str, sha256: str = "", title: str = "", path: Path = Path("none")) -> Entry:
    return Entry(name, path, kind="model", size=1, sha256=sha256, title=title)


def said(model: str = "", digest: str | None = None) -> Settings:
    fields_set = frozenset({"model"} if model else ())
    return Settings(TextToImage(model=model or "landscapes"), fields_set, digest, program="A1111")


HERE = (entry("ink", "aa" * 32), entry("Dream Shaper 8", "bb" * 32), entry("boats", title="Boats of Old"))


@pytest.mark.parametrize(
    ("settings", "found", "words"),
    [
        (said("ink"), "ink", ()),
        (said("renamed", "bb" * 5), "Dream Shaper 8", ()),
        (said("", "bb" * 32), "Dream Shaper 8", ()),
        (said("ink", "bb" * 5), "Dream Shaper 8", ()),
        (said("dream_shaper-8"), "Dream Shaper 8", ()),
        (said("boatsofold"), "boats", ()),
        (said("ink", "cc" * 5), "ink", ("not the file",)),
        (said("boats", "cc" * 5), "boats", ()),
        (said("lost", "cc" * 5), "lost", ()),
        (said(), "landscapes", ()),
    ],
)
def test_a_model_is_found_by_its_hash_then_by_its_name(
    settings: Settings, found: str, words: tuple[str, ...]
) -> None:
    digests = {one.name: one.sha256 or None for one in HERE}
    read = at_home(settings, HERE, (), lambda name: digests.get(name))
    assert read.request.model == found
    noted(read, *words)


def test_a1111s_first_hash(tmp_path: Path) -> None:
    file = tmp_path / "old.ckpt"
    file.write_bytes(bytes(1 << 20) + b"weights" * 20_000)
    there = (*HERE, entry("old", path=file))
    digest = hashlib.sha256((b"weights" * 20_000)[: 1 << 16]).hexdigest()[:8]
    assert at_home(said("", digest), there, (), lambda _: None).request.model == "old"


def test_of_several_models_of_one_name_the_choice_is_told() -> None:
    there = (entry("boats v2"), entry("boats-v2"))
    noted(at_home(said("boats_v2"), there, (), lambda _: None), "Several models")


@pytest.mark.parametrize("turned", [False, True])
def test_of_several_models_of_one_name_hash_then_spelling_then_order_decide(turned: bool) -> None:
    there = (entry("boats v2", "aa" * 32), entry("boats-v2", "bb" * 32), entry("Boats V2", "cc" * 32))
    there = there[::-1] if turned else there
    for read, found in (
        (said("boats-v2", "cc" * 5), "Boats V2"),
        (said("boats_v2", "bb" * 5), "boats-v2"),
        (said("boats-v2"), "boats-v2"),
        (said("boats v2", "dd" * 5), "boats v2"),
        (said("boats_v2"), there[0].name),
        (said("elsewhere", "cc" * 5), "Boats V2"),
    ):
        sha256 = {one.name: one.sha256 for one in there}
        assert at_home(read, there, (), sha256.get).request.model == found, read


LORAS = tuple(
    Entry(name, Path(name), kind="LoRA", size=1, sha256=sha256)
    for name, sha256 in (("ink", ""), ("Sea Foam", ""), ("renamed", "ab" * 32))
)


def test_loras_that_are_here_become_adapters_and_leave_the_prompt() -> None:
    text = (
        "a boat <lora:ink:0.8>, at sea <lora:sea_foam:1:0.5> <lora:lost:0.7>\nSteps: 20, Seed: 1, "
        f'Lora hashes: "ink: 0123456789ab, old: {"ab" * 6}", Model: ink'
    )
    read = at_home(from_parameters(text), HERE, LORAS, lambda _: None)
    assert read.request.prompt == "a boat, at sea <lora:lost:0.7>"
    assert read.request.adapters == (
        AdapterUse("ink", 0.8, 0.8),
        AdapterUse("Sea Foam", unet=0.5, text=1.0),
        AdapterUse("renamed"),
    )
    noted(read, "LoRA 'lost 0.7' is not here")


def test_a_lora_is_found_by_the_hash_of_its_tensors(tmp_path: Path) -> None:
    """A1111's twelve digits, whatever stands in the file's header; a file of the same name is told."""
    digest = hashlib.sha256(b"tensors" * 9).hexdigest()[:12]
    for name, tensors in (("mine", b"tensors" * 9), ("ink", b"others!" * 9)):
        header = b'{"__metadata__":{"notes":"' + name.encode() + b'"}}'
        file = tmp_path / f"{name}.safetensors"
        file.write_bytes(len(header).to_bytes(8, "little") + header + tensors)
    there = [Entry(name, tmp_path / f"{name}.safetensors", "LoRA", 1) for name in ("ink", "mine")]
    line = f'Steps: 20, Seed: 1, Lora hashes: "ink: {digest}"'
    read = at_home(from_parameters(f"a <lora:ink:0.8>\n{line}"), HERE, there, lambda _: None)
    assert read.request.adapters == (AdapterUse("mine", 0.8, 0.8),) and read.request.prompt == "a"
    read = at_home(from_parameters(f"a <lora:ink:0.8>\n{line}"), HERE, there[:1], lambda _: None)
    assert read.request.adapters == (AdapterUse("ink", 0.8, 0.8),)
    noted(read, "LoRA ink here is not the file")


@pytest.mark.parametrize("size", [0, 7, 8, 40])
def test_files_too_short_for_a_header_have_no_such_hash(tmp_path: Path, size: int) -> None:
    file = tmp_path / "short.safetensors"
    file.write_bytes(b"\xff" * size)
    found = at_home(
        from_parameters('a\nSteps: 20, Seed: 1, Lora hashes: "ink: 0123456789ab"'),
        HERE,
        [Entry("short", file, "LoRA", size)],
        lambda _: None,
    )
    assert found.request.adapters is None


def test_a_lora_whose_weight_is_not_allowed_is_told() -> None:
    for weight in ("99", "many", "nan"):
        read = from_parameters(f"a <lora:ink:{weight}>\nSteps: 20, Seed: 1")
        read = at_home(read, HERE, LORAS, lambda _: None)
        assert (read.request.adapters, read.request.prompt) == (None, f"a <lora:ink:{weight}>")
        noted(read, "has a weight that is not allowed")


@pytest.mark.parametrize("tag", ["<lora:ink:0.8>", "<lora:ink:1:0.5>", "<lora:ink:0>", "<lora:Sea Foam:-1>"])
def test_loras_survive_a1111s_text(tag: str) -> None:
    line = "Steps: 20, Sampler: DDIM, Schedule type: Karras, CFG scale: 7, Seed: 1, Size: 512x512, Model: ink"
    for prompt in (f"a boat {tag}", tag):
        text = f"{prompt}\n{line}"
        read = at_home(from_parameters(text), HERE, LORAS, lambda _: None)
        assert read.request.adapters and "lora" not in read.request.prompt
        assert to_parameters(read.request) == text


# Hostile files -------------------------------------------------------------------------------------------


def quick(data: bytes) -> None:
    """Settings or a sentence, soon."""
    start = time.thread_time()  # of this thread alone: other work does not count
    try:
        read_settings(data)
    except AtelierError as error:
        assert str(error)
    assert time.thread_time() - start < 5


NESTED = "<rdf:Description><b>" * 30_000 + "</b></rdf:Description>" * 30_000
BOMB = zlib.compress(bytes(200_000_000), 9)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(with_chunk(b"zTXt", b"parameters\0\0" + BOMB), id="zTXt"),
        pytest.param(with_chunk(b"iTXt", b"parameters\0\1\0\0\0" + BOMB), id="iTXt"),
        pytest.param(png(prompt='{"a":' * 100_000), id="deep"),
        pytest.param(png(prompt="[" * 1_000_000), id="brackets"),
        pytest.param(png(prompt='{"1": ' + "9" * 1_000_000 + "}"), id="digits"),
        pytest.param(png(prompt=json.dumps({str(i): {"class_type": "X", "inputs": {"a": [str(i + 1), 0]}}
                                            for i in range(60_000)})), id="a long chain"),
        pytest.param(png(parameters=" " * 3_000_000 + "x"), id="spaces"),
        pytest.param(png(Dream='"' + " " * 2_000_000 + "[" * 1_000_000), id="brackets in Dream"),
        pytest.param(png(Dream='"a"' + " -" * 300_000), id="switches in Dream"),
        pytest.param(
            png_of({"XML:com.adobe.xmp": '<!DOCTYPE a [<!ENTITY b "bb">]>' + packet("&b;" * 9)}), id="XML"
        ),
        pytest.param(png_of({"XML:com.adobe.xmp": "<a>" * 200_000}), id="deep XML"),
        pytest.param(
            png_of({"XML:com.adobe.xmp": packet("", NESTED)}),
            id="nested XMP",
        ),
    ],
)  # fmt: skip
def test_bombs_are_cheap(data: bytes) -> None:
    quick(data)


def test_a_bomb_hides_nothing() -> None:
    data = with_chunk(b"zTXt", b"Comment\0\0" + BOMB, png_of({"parameters": A1111}))
    assert read_settings(data).request == BOAT
    with pytest.raises(FileError, match="damaged"):
        read_settings(with_chunk(b"zTXt", b"parameters\0\0" + BOMB))


def test_a_text_that_was_changed_on_the_way_is_not_read() -> None:
    data = png(parameters=A1111.replace("ünï 🎨", "x"))
    with pytest.raises(FileError, match="damaged"):
        read_settings(data.replace(b"Steps: 25", b"Steps: 26"))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(["1", 0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("keyword", "example"),
    [
        ("parameters", SWARM),
        ("parameters", FOOOCUS),
        ("Comment", NOVELAI),
        ("invokeai_metadata", {"positive_prompt": "a", "model": {"name": "b"}, "loras": [{"model": {}}]}),
        ("sd-metadata", {"image": {"prompt": "a", "steps": 3}, "model_weights": "x"}),
    ],
)
def test_values_of_any_kind_are_read_or_refused(keyword: str, example: dict[str, object]) -> None:
    @given(st.data())
    @settings(max_examples=60, deadline=None)
    def survives(data: st.DataObject) -> None:
        outer = json.loads(json.dumps(example))
        inner = next((one for one in outer.values() if isinstance(one, dict)), outer)
        changed = inner if keyword != "Comment" else outer
        for name in data.draw(st.lists(st.sampled_from(sorted(changed)), max_size=4)):
            changed[name] = data.draw(values)
        quick(png_of({keyword: outer, "Software": "NovelAI"}))

    survives()


def test_the_table_has_every_program() -> None:
    assert len(READERS) == len(set(READERS)) == 7
