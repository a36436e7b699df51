"""Settings inside pictures: what is written is read back, and what comes from elsewhere is checked."""

from __future__ import annotations

import io
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from app.keeping import metadata, originals
from app.keeping.metadata import (
    encode,
    encode_png,
    explain,
    from_parameters,
    read_settings,
    to_ours,
    to_parameters,
    written,
)
from app.keeping.outgoing import outgoing
from ldm_core.errors import AtelierError, FileError, RequestError
from ldm_core.pictures.writing import FORMATS, Format
from ldm_core.prompts import read_prompt
from ldm_core.request import SAMPLERS, SPACINGS, Branch, Inpaint, TextToImage
from ldm_core.request.extensions import AdapterUse
from ldm_core.request.raster import Raster, read_raster
from tests.picture_files import deep_png, file_of

PIXELS = np.arange(64 * 48 * 3, dtype=np.uint8).reshape(48, 64, 3)
DIGEST = "0123456789abcdef" * 4

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=120)
requests = st.builds(
    TextToImage,
    prompt=texts,
    negative_prompt=texts,
    model=st.sampled_from(["landscapes", "My model, v2", 'a: "b"', "C:\\x"]),
    width=st.integers(64, 2048),
    height=st.integers(64, 2048),
    steps=st.integers(1, 250),
    sampler=st.sampled_from(list(SAMPLERS)),
    eta=st.integers(0, 20).map(lambda n: n / 20),
    guidance_scale=st.integers(0, 300).map(lambda n: n / 10),
    seed=st.integers(0, 2**64 - 1),
    spacing=st.sampled_from(list(SPACINGS)),
    guidance_rescale=st.integers(0, 20).map(lambda n: n / 20),
    guidance_start=st.integers(0, 10).map(lambda n: n / 20),
    guidance_end=st.integers(10, 20).map(lambda n: n / 20),
)


def png(**chunks: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for name, text in chunks.items():
        info.add_text(name.replace("_", "-"), text)
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG", pnginfo=info)
    return file.getvalue()


@given(requests)
@settings(max_examples=60, deadline=None)
def test_every_request_survives_a_png(request: TextToImage) -> None:
    read = read_settings(encode_png(PIXELS, request, DIGEST))
    assert read.request == request
    assert read.model_sha256 == DIGEST
    assert read.notes == ()


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF"])
def test_every_request_survives_other_files(format: Format) -> None:
    @given(requests)
    @settings(max_examples=25, deadline=None)
    def survives(request: TextToImage) -> None:
        data = encode(PIXELS, request, DIGEST, format)
        read = read_settings(data)
        assert (read.request, read.model_sha256, read.notes) == (request, DIGEST, ())
        # Another program's reader finds the text, byte order as it expects.
        with Image.open(io.BytesIO(data)) as picture:
            assert picture.format == format
            comment = picture.getexif().get_ifd(0x8769)[0x9286]
        assert comment == b"UNICODE\0" + to_parameters(request, DIGEST).encode("utf-16-be")

    survives()


@pytest.mark.parametrize("format", FORMATS)
def test_a_request_with_pictures_survives_every_file(format: Format) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)  # more than a block of a JPEG
    mask = np.zeros((200, 200), np.uint8)
    mask[50:90] = 255
    request = Inpaint(image=Raster(noise), mask=Raster(mask), prompt="a lake")
    assert read_settings(encode(PIXELS, request, None, format)).request == request


@pytest.mark.parametrize("format", FORMATS)
def test_what_a_photograph_says_and_the_settings_stand_in_one_file(format: Format) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x8769] = "A camera", {0x9003: "2024:05:01 10:00:00"}
    photograph = io.BytesIO()
    Image.fromarray(PIXELS).save(photograph, "JPEG", exif=exif)
    request = Inpaint(
        image=read_raster(photograph.getvalue(), "picture"), mask=Raster(PIXELS[..., 0] // 255 * 255), seed=3
    )
    data = encode(request.image.pixels, request, None, format)
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.getexif()[0x010F] == "A camera"
        assert picture.getexif().get_ifd(0x8769)[0x9003] == "2024:05:01 10:00:00"
    assert read_settings(data).request == request


@given(requests)
@settings(max_examples=150, deadline=None)
def test_every_request_survives_the_text_of_other_programs(request: TextToImage) -> None:
    # What that form cannot tell apart: a line of the prompt that itself says "Negative prompt:".
    if any(line.startswith("Negative prompt:") for line in request.prompt.split("\n")):
        return
    read = from_parameters(to_parameters(request, DIGEST))
    assert read.request == request
    assert read.model_sha256 == DIGEST[:10]
    assert to_parameters(read.request, read.model_sha256) == to_parameters(request, DIGEST)


def test_the_pixels_and_the_text_in_the_file() -> None:
    data = encode_png(PIXELS, TextToImage(prompt="a lake", negative_prompt="fog", seed=7), DIGEST)
    with Image.open(io.BytesIO(data)) as picture:
        assert np.array_equal(np.asarray(picture), PIXELS)
        assert picture.info["parameters"] == (
            "a lake\nNegative prompt: fog\nSteps: 30, Sampler: DDIM, Schedule type: SGM Uniform, "
            "CFG scale: 2.5, Seed: 7, Size: 256x256, Model hash: 0123456789, Model: landscapes"
        )
        assert json.loads(picture.info["latent-atelier"])["version"] == 1


def test_a_picture_of_another_program() -> None:
    text = (
        'oil painting of "a lake", (mountains:1.2),\nsecond line\nNegative prompt: blurry,\nugly\n'
        "Steps: 20, Sampler: Euler a, Schedule type: Karras, CFG scale: 7, Seed: 965400086, Size: 512x768, "
        'Model hash: 6ce0161689, Model: v1-5, Lora hashes: "a: 1, b: 2", Version: v1.9.4'
    )
    read = read_settings(png(parameters=text))
    request = read.request
    assert request.prompt == 'oil painting of "a lake", (mountains:1.2),\nsecond line'
    assert request.negative_prompt == "blurry,\nugly"
    assert (request.width, request.height, request.steps, request.seed) == (512, 768, 20, 965400086)
    assert (request.guidance_scale, request.model, request.sampler) == (7.0, "v1-5", "euler_ancestral")
    assert (request.spacing, read.notes) == ("karras", ())
    assert [str(lora) for lora in read.loras] == ["a 1", "b 2"]


@pytest.mark.parametrize(
    ("said", "sampler", "spacing"),
    [
        ("Sampler: DPM++ 2M Karras", "dpmpp_2m", "karras"),
        ("Sampler: DPM++ 2M SDE Karras", "dpmpp_2m_sde", "karras"),
        ("Sampler: DPM++ 2M, Schedule type: Karras", "dpmpp_2m", "karras"),
        ("Sampler: Euler, Schedule type: SGM Uniform", "euler", "trailing"),
        ("Sampler: DPM++ 2M, Schedule type: Automatic", "dpmpp_2m", "karras"),
        ("Sampler: Heun, Schedule type: Automatic", "heun", "linspace"),
        ("Sampler: Euler a", "euler_ancestral", "linspace"),
        ("Sampler: DDIM", "ddim", "uniform"),
        ("Sampler: UniPC, Schedule type: Uniform", "unipc", "linspace"),
        ("Sampler: UniPC, Schedule type: DDIM", "unipc", "uniform"),
        ("Sampler: dpmpp_2m_sde_karras", "dpmpp_2m_sde", "karras"),
        ("Sampler: DPM++ 2M Karras, Schedule type: SGM Uniform", "dpmpp_2m", "trailing"),
        ("Sampler: DDIM, Spacing: uniform", "ddim", "uniform"),  # our own first pictures
    ],
)
def test_names_of_samplers_and_spacings(said: str, sampler: str, spacing: str) -> None:
    read = from_parameters(f"x\nSteps: 20, {said}, Seed: 1")
    assert (read.request.sampler, read.request.spacing, read.notes) == (sampler, spacing, ())


@pytest.mark.parametrize("said", ["Sampler: DPM adaptive", "Schedule type: Beta"])
def test_unknown_samplers_and_spacings_are_told(said: str) -> None:
    read = from_parameters(f"x\nSteps: 20, {said}, Seed: 1")
    assert not {"sampler", "spacing"} & read.fields_set
    assert len(read.notes) == 1 and said.split(": ")[1] in read.notes[0]


@pytest.mark.parametrize("said", ["DPM++ 2M", "UniPC", "DPM++ 2M, Schedule type: Beta"])
def test_a_schedule_that_stands_in_is_told(said: str) -> None:
    read = from_parameters(f"x\nSteps: 20, Sampler: {said}, Seed: 1")
    assert read.request.spacing == "karras"
    assert len(read.notes) == 1 and "karras" in read.notes[0]


def test_our_own_text_comes_first() -> None:
    both = {"latent_atelier": json.dumps({"version": 1, "request": {"task": "text-to-image", "seed": 5}})}
    assert read_settings(png(parameters="x\nSteps: 1, Seed: 2", **both)).request.seed == 5


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": -2},
        {"steps": 10**9},
        {"width": 7},
        {"prompt": 3},
        {"sampler": "../x"},
        {"evil": 1},
        {"eta": "0"},
    ],
)
def test_hostile_values_are_refused_like_any_request(fields: dict[str, object]) -> None:
    outer = {"version": 1, "request": {"task": "text-to-image", **fields}, "model_sha256": None}
    with pytest.raises(RequestError, match=next(iter(fields))):
        read_settings(png(latent_atelier=json.dumps(outer)))


@pytest.mark.parametrize(
    ("line", "lost", "word"),
    [
        ("Steps: nan, Seed: 1", "steps", "number of steps nan"),
        ("Steps: 10, Seed: " + "9" * 5000, "seed", "seed"),
        ("Steps: 3, Seed: 1, Size: 8x", "width", "size '8x'"),
        ("Steps: 3, Seed: 1, Size: 2560x1440", "width", "2560 × 1440"),
        ("Steps: 1, Seed: -1", "seed", "seed -1"),
        ("Steps: 1, Seed: 1, CFG scale: Infinity", "guidance_scale", "inf"),
        ("Steps: 1, Seed: 1, Guidance start: 0.9, Guidance end: 0.1", "guidance_start", "guidance_start"),
        ("Steps: 1, Seed: 1, Model: " + "m" * 300, "model", "model"),
    ],
)
def test_a_value_out_of_range_is_lost_alone(line: str, lost: str, word: str) -> None:
    read = from_parameters(f"prompt\nNegative prompt: not\n{line}")
    assert lost not in read.fields_set
    assert {"prompt", "negative_prompt"} <= read.fields_set
    assert len(read.notes) == 1 and word in read.notes[0]
    assert len(read.notes[0]) < 250


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        "null",
        "x",
        '{"version": 1}',
        '{"version": 1, "request": []}',
        '{"version": 9, "request": {}}',
        "[" * 5000,
    ],
)
def test_damaged_settings(text: str) -> None:
    with pytest.raises(FileError):
        read_settings(png(latent_atelier=text))


def test_where_our_own_text_is_damaged_the_other_is_read_and_that_is_told() -> None:
    data = encode_png(PIXELS, TextToImage(prompt="a lake", second_pass=0.5))
    read = read_settings(data.replace(b'"second_pass": 0.5', b'"second_pass": 0.6'))
    assert (read.request.prompt, read.program) == ("a lake", "A1111")
    assert len(read.notes) == 1 and "damaged" in read.notes[0]


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"\x89PNG\r\n\x1a\n", png(parameters="x")[:60], b"GIF89a" + bytes(40), b"%!PS-Adobe"],
)
def test_files_that_are_no_picture(data: bytes) -> None:
    with pytest.raises(FileError):
        read_settings(data)


def test_a_png_without_settings_and_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="carries no settings"):
        read_settings(png())
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(FileError):
            read_settings(path)


@given(st.integers(0, len(png(parameters="x")) - 1), st.integers(0, 255))
@settings(max_examples=80, deadline=None)
def test_mutated_files_give_settings_or_a_sentence(at: int, byte: int) -> None:
    data = bytearray(encode_png(PIXELS[:8, :8], TextToImage(prompt="a lake")))
    data[at % len(data)] = byte
    try:
        read_settings(bytes(data))
    except AtelierError as error:
        assert str(error)


def test_long_texts_take_linear_time() -> None:
    begin = "prompt\nSteps: 1, Seed: 1, "
    start = time.process_time()
    for text, count in (
        ('a: "', 500_000),
        ('a: {"b":1,', 100_000),
        ("a: [1, ", 100_000),
        ('x: {"a":1,"x":', 70_000),
    ):
        from_parameters(f"{begin}x: {text * count}")
    read = from_parameters("a" * 500_000 + "\nSteps: 1, Seed: 1")
    assert "prompt" not in read.fields_set and "500,000 characters" in read.notes[0]
    assert time.process_time() - start < 15


def test_the_text_of_other_programs_word_for_word() -> None:
    ink, wash = AdapterUse("ink", unet=0.5, text=1.0), AdapterUse("wash", unet=0.25, text=0.25)
    request = TextToImage(
        prompt="a lake", sampler="ddim", eta=0.5, guidance_rescale=0.25, guidance_start=0.125,
        guidance_end=0.75, model='My "model", 2', width=64, height=128, adapters=(ink, wash),
    )  # fmt: skip
    assert to_parameters(request, DIGEST) == (
        "a lake <lora:ink:1:0.5> <lora:wash:0.25>\nSteps: 30, Sampler: DDIM, Schedule type: SGM Uniform, "
        'CFG scale: 2.5, Seed: 0, Size: 64x128, Model hash: 0123456789, Model: "My \\"model\\", 2", '
        "Eta DDIM: 0.5, Guidance rescale: 0.25, Guidance start: 0.125, Guidance end: 0.75"
    )
    bare = TextToImage(sampler="euler", eta=0.5, adapters=(wash,), negative_prompt="fog", model="x ")
    assert to_parameters(bare) == (
        "<lora:wash:0.25>\nNegative prompt: fog\nSteps: 30, Sampler: Euler, Schedule type: SGM Uniform, "
        'CFG scale: 2.5, Seed: 0, Size: 256x256, Model: "x ", Eta: 0.5'
    )
    for name, quoted in (
        ("{x", '"{x"'),
        ("[x", '"[x"'),
        ("a:b", '"a:b"'),
        ("a{", "a{"),
        ("é", "é"),
        ("", ""),
    ):
        assert to_parameters(TextToImage(model=name)).endswith(f"Model: {quoted}")


def test_a_text_that_is_too_long_for_a_jpeg_is_left_out_and_nothing_else() -> None:
    for length, there in ((24_700, True), (25_100, False)):
        request = TextToImage(prompt="é" * 18_000, negative_prompt="y" * (length - 18_000))
        size = len(to_parameters(request).encode("utf-16-be")) + 8
        assert (size <= 50_000) == there
        data = encode(PIXELS, request, None, "JPEG")
        assert read_settings(data).request == request
        with Image.open(io.BytesIO(data)) as picture:
            assert (0x9286 in picture.getexif().get_ifd(0x8769)) == there


def test_blocks_of_a_jpeg_are_filled_to_the_last_byte() -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    for length in (65_518 - 1, 65_518, 65_518 + 1, 2 * 65_518):
        plain = outgoing(pixels, TextToImage())
        data = written(plain, json.dumps("x" * (length - 2)), "", "JPEG")
        blocks = data.split(b"latent-atelier\0")[1:]
        assert len(blocks) == -(-length // 65_518)
        assert data.count(b"\xff\xef\xff\xff" + b"latent-atelier\0") == length // 65_518
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            assert 0x8769 not in picture.getexif()


def test_quality_and_facts_are_what_is_asked_for() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    sizes = [len(encode(noise, TextToImage(), None, "JPEG", quality=quality)) for quality in (50, 90, 100)]
    assert sizes == sorted(set(sizes)) and len(encode(noise, TextToImage(), None, "JPEG")) == sizes[1]
    other = outgoing(noise, TextToImage())
    assert len(written(other, "", "", "WEBP")) == len(written(other, "", "", "WEBP", quality=90))
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", exif=exif)
    photograph = read_raster(file.getvalue(), "picture")
    request = Inpaint(image=photograph, mask=Raster(np.full(PIXELS.shape[:2], 255, np.uint8)))
    for facts in (True, False):
        for data in (
            encode_png(PIXELS, request, facts=facts), encode(PIXELS, request, None, "JPEG", facts=facts)
        ):  # fmt: skip
            with Image.open(io.BytesIO(data)) as picture:
                assert (picture.getexif().get(0x010F) == "A camera") == facts
    with Image.open(io.BytesIO(encode_png(PIXELS, request))) as picture:
        assert picture.getexif()[0x010F] == "A camera"


def ours(**outer: object) -> bytes:
    whole = {"version": 1, "request": {"task": "text-to-image"}, "model_sha256": None} | outer
    return png(latent_atelier=json.dumps(whole))


@pytest.mark.parametrize(
    ("digest", "is_one"),
    [("a" * 64, True), ("0", True), ("", False), ("a" * 65, False), ("g", False), (5, False), (None, False)],
)
def test_only_a_hash_is_taken_for_one(digest: object, is_one: bool) -> None:
    assert read_settings(ours(model_sha256=digest)).model_sha256 == (digest if is_one else None)


def test_what_is_wrong_with_settings_is_said() -> None:
    for outer, sentence in (
        ({"version": 2}, "were written by a newer version of this program."),
        ({"version": 0}, "were written by a newer version of this program."),
        ({"request": []}, "are damaged."),
        ({"inputs": []}, "are damaged."),
    ):
        with pytest.raises(FileError, match=f"The settings inside this picture {sentence}"):
            read_settings(ours(**outer))
    with pytest.raises(FileError, match="not in a form that this program reads"):
        from_parameters("a lake")
    refused = RequestError("seed", -2, "from 0 on")
    assert explain(refused) == f"The settings inside this picture cannot be used: {refused}"
    assert explain(FileError("It is gone.")) == "It is gone."
    everything = read_settings(ours()).fields_set
    assert {"prompt", "seed", "width", "branch"} <= everything


def test_a_file_is_read_up_to_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path := tmp_path / "a.png").write_bytes(data := ours())
    monkeypatch.setattr(metadata, "MAX_FILE", len(data))
    assert read_settings(path).request == TextToImage()
    monkeypatch.setattr(metadata, "MAX_FILE", len(data) - 1)
    with pytest.raises(FileError, match=r"a\.png is larger than 0 MB, so its settings were not read"):
        read_settings(path)
    with pytest.raises(FileError, match=r"There is no file none\.png"):
        read_settings(tmp_path / "none.png")
    assert len(data) < 2**28 and read_settings(data).request == TextToImage()


# Pictures that are too large to be carried ------------------------------------------------------------------


def large_request(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Inpaint:
    monkeypatch.setattr(metadata, "MAX_CARRIED", 2000)
    monkeypatch.setenv("ATELIER_DATA", str(tmp_path / "data"))
    deep = np.random.default_rng(0).integers(0, 65536, (24, 40, 3), dtype=np.uint16)
    mask = np.zeros((24, 40), np.uint8)
    mask[4:9, 4:9] = 255
    return Inpaint(prompt="a lake", image=read_raster(deep_png(deep), "picture"), mask=Raster(mask))


def test_a_large_photograph_is_kept_once_beside_the_pictures_made_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    request = large_request(monkeypatch, tmp_path)
    pixels = request.image.pixels.copy()
    pixels[4:9, 4:9] = 7
    for seed in (1, 2):
        made = replace(request, seed=seed)
        file = encode_png(pixels, made)
        assert len(to_ours(made, None)) < 3000
        assert read_settings(file).request == made
    (kept,) = (tmp_path / "data" / "originals").iterdir()
    assert kept.read_bytes() == request.image.file


@pytest.mark.parametrize("damage", ["gone", "another", "cut off"])
def test_where_the_photograph_is_gone_the_other_settings_are_read_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: str
) -> None:
    request = large_request(monkeypatch, tmp_path)
    file = encode_png(request.image.pixels, request)
    (kept,) = (tmp_path / "data" / "originals").iterdir()
    other = deep_png(np.ones((24, 40, 3), np.uint16))
    content = {"another": other, "cut off": kept.read_bytes()[:99]}.get(damage)
    kept.unlink() if content is None else kept.write_bytes(content)
    settings = read_settings(file)
    assert settings.request.prompt == "a lake"
    assert "too large to be carried" in settings.notes[-1]


def test_originals_that_no_picture_names_go_after_a_month(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a picture in the outputs folder or its trash is made of stays, whatever its age."""
    request = large_request(monkeypatch, tmp_path)
    originals.keep(request.image)
    (kept,) = (tmp_path / "data" / "originals").iterdir()
    month = (originals.UNUSED_DAYS + 1) * 86400
    old = time.time() - month

    def aged() -> None:
        os.utime(kept, (old, old))

    outputs = tmp_path / "outputs"
    trash = outputs / ".atelier" / "trash"
    trash.mkdir(parents=True)
    aged()
    assert originals.sweep(outputs) == 0  # an empty folder may be a disk that is not there
    picture = trash / "1.png"
    picture.write_bytes(encode_png(request.image.pixels, replace(request, seed=3)))
    aged()
    assert originals.sweep(outputs) == 0 and kept.is_file()
    picture.write_bytes(encode_png(request.image.pixels, TextToImage()))
    assert read_settings(encode_png(request.image.pixels, request)).request == request  # used again
    assert originals.sweep(outputs) == 0
    aged()
    assert originals.sweep(outputs) == 1 and not kept.exists()


def test_of_originals_that_no_picture_names_the_oldest_go_where_they_are_too_many(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ATELIER_DATA", str(tmp_path))
    monkeypatch.setattr(originals, "UNUSED_BYTES", 250)
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "1.png").write_bytes(b"no picture")
    folder = tmp_path / "originals"
    folder.mkdir()
    for hours in (0, 2, 3, 4):
        path = folder / (str(hours) * 64)
        path.write_bytes(bytes(100))
        os.utime(path, times=(time.time() - 3600 * hours,) * 2)
    assert originals.sweep(tmp_path / "outputs") == 2
    assert sorted(path.name[0] for path in folder.iterdir() if len(path.name) == 64) == ["0", "2"]


def test_another_outputs_folder_s_pictures_keep_what_they_are_made_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    request = large_request(monkeypatch, tmp_path)
    originals.keep(request.image)
    (kept,) = (tmp_path / "data" / "originals").iterdir()
    for name, made in (("one", request), ("other", TextToImage())):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(encode_png(request.image.pixels, made))
        os.utime(kept, (0, 0))
        assert originals.sweep(tmp_path / name) == 0
    (tmp_path / "one" / "1.png").unlink()  # or its disk is not there
    assert originals.sweep(tmp_path / "other") == 0 and kept.is_file()


def test_a_hash_is_no_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    request = large_request(monkeypatch, tmp_path)
    text = to_ours(request, None)
    outside = tmp_path / "secret.png"
    outside.write_bytes(request.image.file or b"")
    changed = text.replace(request.image.sha256, "../../secret.png")
    info = PngImagePlugin.PngInfo()
    info.add_text("latent-atelier", changed)
    with pytest.raises(FileError):
        read_settings(file_of(Image.new("RGB", (8, 8)), "PNG", pnginfo=info))


def test_a_branch_with_another_picture_is_read_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    request = large_request(monkeypatch, tmp_path)
    other = replace(request, mask=Raster(255 - request.mask.pixels))
    branched = replace(request, branch=Branch(2, other))
    assert read_settings(encode_png(request.image.pixels, branched)).request == branched


@pytest.mark.parametrize("syntax", ["auto", "plain", "a1111", "comfyui", "invokeai"])
@pytest.mark.parametrize("weighting", ["auto", "a1111", "no_norm", "comfyui", "invokeai", "ignore"])
def test_how_a_prompt_is_read_stands_in_both_texts(syntax: str, weighting: str) -> None:
    """As text for other programs a plain prompt has its brackets escaped, which says the same."""
    asked = TextToImage(
        prompt="a (b:1.2) \\(c", negative_prompt="[d]", prompt_syntax=syntax, prompt_weighting=weighting
    )
    assert read_settings(encode_png(PIXELS, asked)).request == asked
    said = from_parameters(to_parameters(asked)).request
    meant = [
        read_prompt(one.prompt, one.prompt_syntax if one.prompt_syntax != "auto" else "a1111").at(0, 1)
        for one in (asked, said)
    ]
    texts = [
        [(span.text, span.weight) for span in parts[0].phrase.sections[0]]  # type: ignore[union-attr]
        for parts in meant
    ]
    assert texts[0] == texts[1]
    assert said.prompt_weighting == ("a1111" if (syntax, weighting) == ("plain", "auto") else weighting)


def test_a_prompt_with_brackets_from_before_syntax_was_read_stays_literal() -> None:
    for prompt, syntax in (("a (b:1.2)", "plain"), ("a [b|c]", "plain"), ("a lake, at dusk", "auto")):
        before = json.loads(to_ours(TextToImage(prompt=prompt), None))
        for name in ("prompt_syntax", "prompt_weighting", "clip_skip"):
            del before["request"][name]
        read = read_settings(png(latent_atelier=json.dumps(before)))
        assert read.request.prompt_syntax == syntax


@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_brackets_of_pictures_from_before_there_was_a_syntax_are_letters(field: str) -> None:
    settings = json.loads(to_ours(TextToImage(**{field: "a (lake:1.2)"}), DIGEST))
    request = settings["request"]
    assert request.pop("prompt_syntax") == "auto"
    read = read_settings(png(**{metadata.OURS.replace("-", "_"): json.dumps(settings)})).request
    assert read.prompt_syntax == "plain" and getattr(read, field) == "a (lake:1.2)"
    request[field] = "a lake"
    read = read_settings(png(**{metadata.OURS.replace("-", "_"): json.dumps(settings)})).request
    assert read.prompt_syntax == "auto"


@pytest.mark.parametrize(
    ("digest", "read"), [("a1" * 32, "a1" * 32), ("x" * 64, None), ("A" * 64, None), ("a" * 65, None)]
)
def test_only_what_is_a_hash_is_taken_for_one(digest: str, read: str | None) -> None:
    assert read_settings(encode_png(PIXELS, TextToImage(), digest)).model_sha256 == read


def test_templates_stand_behind_the_settings_that_others_read() -> None:
    request = TextToImage(prompt="a red lake", template="a {red|blue} lake", negative_template="__fog__")
    assert to_parameters(request).endswith("\nTemplate: a {red|blue} lake\nNegative Template: __fog__")
    assert "emplate" not in to_parameters(TextToImage(prompt="a red lake"))


def test_a_file_is_a_png_unless_another_format_is_asked_for() -> None:
    file = written(outgoing(PIXELS, TextToImage()), "", "")
    assert file.startswith(b"\x89PNG") and read_raster(file, "picture").pixels.tolist() == PIXELS.tolist()
