"""Weights, chunks, clip skip and embeddings, beside plain torch and diffusers on small random models."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin
from safetensors.torch import save_file
from torch import Tensor

from ldm_core.conditioners.chunks import Token, chunked
from ldm_core.engine.engine import Engine
from ldm_core.errors import AtelierError, PromptError
from ldm_core.library.models import ModelLibrary
from ldm_core.request import TextToImage, branched
from tests.diffusers_pipelines import saved
from tests.stable_diffusion import VOCABULARY
from tests.tiny import initial_noise

Pixels = NDArray[np.uint8]
Weighted = Sequence[tuple[str, float]]
NAMES, SIZE, STEPS, SCALE, ROOM = ("sd1", "sdxl"), 64, 4, 4.0, 14
END = len(VOCABULARY) - 1
NEGATIVE = "a"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def pipelines(folder: Path) -> dict[str, Any]:
    made = {name: saved(name, folder)[1] for name in NAMES}
    with torch.no_grad():  # a mean to restore, as trained encoders have one
        parameters = made["sd1"].text_encoder.named_parameters()
        next(bias for name, bias in parameters if name.endswith("final_layer_norm.bias")).add_(0.3)
    made["sd1"].save_pretrained(folder / "sd1")
    return made


@pytest.fixture(scope="module")
def library(folder: Path, pipelines: dict[str, Any]) -> ModelLibrary:
    write_embeddings(folder)
    return ModelLibrary([folder])


@pytest.fixture(scope="module")
def engine(library: ModelLibrary) -> Iterator[Engine]:
    with Engine(library, device="cpu", dtype="float32") as engine:
        yield engine


def asked(name: str, **changes: Any) -> TextToImage:
    usual: dict[str, Any] = {"model": name, "negative_prompt": NEGATIVE, "steps": STEPS, "seed": 3}
    usual |= {"guidance_scale": SCALE, "spacing": "uniform", "width": SIZE, "height": SIZE}
    return TextToImage(**(usual | changes))


def picture(engine: Engine, request: TextToImage) -> Pixels:
    (pixels,) = engine.submit(request).pictures()
    return pixels


@torch.inference_mode()
def theirs(pipeline: Any, positive: Any, negative: Any, **more: Any) -> Pixels:
    """diffusers' picture of encodings, each (tokens, pooled)."""
    call: dict[str, Any] = {
        "latents": initial_noise([3], (4, SIZE // 2, SIZE // 2)),
        "height": SIZE,
        "width": SIZE,
    }
    call |= {"num_inference_steps": STEPS, "guidance_scale": SCALE, "output_type": "np", **more}
    if isinstance(positive, str):
        call |= {"prompt": positive, "negative_prompt": negative}
    else:
        call |= {"prompt_embeds": positive[0], "negative_prompt_embeds": negative[0]}
        if hasattr(pipeline, "text_encoder_2"):
            call |= {"pooled_prompt_embeds": positive[1], "negative_pooled_prompt_embeds": negative[1]}
    return np.rint(255 * pipeline(**call).images[0]).astype(np.uint8)


def towers(pipeline: Any) -> list[tuple[Any, Any]]:
    pairs = [(pipeline.text_encoder, pipeline.tokenizer)]
    second = getattr(pipeline, "text_encoder_2", None)
    return pairs if second is None else [*pairs, (second, pipeline.tokenizer_2)]


def chunk_of(tokenizer: Any, parts: Weighted) -> tuple[list[int], list[float]]:
    pieces = [
        (token, w) for text, w in parts for token in tokenizer(text, add_special_tokens=False).input_ids
    ]
    rest = ROOM - len(pieces)
    pad = tokenizer.convert_tokens_to_ids(tokenizer.pad_token)
    ids = [END - 1, *(token for token, _ in pieces), END, *[pad] * rest]
    return ids, [1.0, *(w for _, w in pieces), *[1.0] * (rest + 1)]


@torch.inference_mode()
def encoded(pipeline: Any, chunks: Sequence[Weighted], weighting: str) -> tuple[Tensor, Tensor]:
    """What A1111, ComfyUI or compel make of chunks, by their formulas."""
    columns, pooled = [], torch.zeros(0)
    for model, tokenizer in towers(pipeline):
        is_xl = hasattr(pipeline, "text_encoder_2")

        def z_of(ids: list[int], mask: list[int] | None = None) -> tuple[Tensor, Any]:
            given = None if mask is None else torch.tensor([mask])
            out = model(torch.tensor([ids]), attention_mask=given, output_hidden_states=True)  # noqa: B023
            return (out.hidden_states[-2] if is_xl else out.last_hidden_state), out  # noqa: B023

        empty, _ = z_of(chunk_of(tokenizer, [])[0])
        found = []
        for parts in chunks:
            ids, weights = chunk_of(tokenizer, parts)
            z, out = z_of(ids)
            if not found and hasattr(out, "text_embeds"):
                pooled = out.text_embeds
            w = torch.tensor(weights)[None, :, None]
            if weighting == "a1111":
                z = (z * w) * z.mean() / (z * w).mean()
            elif weighting == "no_norm":
                z = z * w
            elif weighting == "comfyui":
                z = empty + w * (z - empty)
            elif weighting == "invokeai":
                up = empty + w.clamp(min=1) * (z - empty)
                low = sorted({weight for _, weight in parts if weight < 1})
                shares, rows = [1.0], [up]
                for weight in low:
                    masked, _ = z_of(ids, [int(one != weight) for one in weights])
                    shares.append(float(np.tan((1 - weight) * np.pi / 2)))
                    rows.append(empty + w.clamp(min=1) * (masked - empty))
                z = sum(s * row for s, row in zip(shares, rows)) / sum(shares)
            found.append(z)
        columns.append(torch.cat(found, dim=1))
    return torch.cat(columns, dim=-1), pooled


PARTS = [("an ", 1.0), ("old", 1.4), (" lake ", 1.0), ("sea", 0.6)]
WRITTEN = {
    "a1111": "an (old:1.4) lake (sea:0.6)",
    "comfyui": "an (old:1.4) lake (sea:0.6)",
    "invokeai": "an (old)1.4 lake (sea)0.6",
}


@pytest.mark.parametrize("weighting", ["a1111", "no_norm", "comfyui", "invokeai", "ignore"])
@pytest.mark.parametrize("name", NAMES)
def test_weights_make_the_picture_of_their_formulas(
    engine: Engine, pipelines: dict[str, Any], name: str, weighting: str
) -> None:
    expected = theirs(
        pipelines[name],
        encoded(pipelines[name], [PARTS], weighting),
        encoded(pipelines[name], [[(NEGATIVE, 1.0)]], weighting),
    )
    for syntax, text in WRITTEN.items():
        request = asked(name, prompt=text, prompt_syntax=syntax, prompt_weighting=weighting)
        error = np.abs(picture(engine, request).astype(int) - expected).max()
        print(name, weighting, syntax, error)
        assert error <= 1
    plain = picture(engine, asked(name, prompt="an old lake sea"))
    assert (np.abs(plain.astype(int) - expected).max() > 1) == (weighting != "ignore")


@pytest.mark.parametrize("name", NAMES)
def test_without_a_weight_every_way_gives_the_same_bytes(engine: Engine, name: str) -> None:
    first = picture(engine, asked(name, prompt="an old lake", prompt_syntax="plain"))
    for syntax in ("auto", "a1111", "comfyui", "invokeai"):
        other = picture(engine, asked(name, prompt="an old lake", prompt_syntax=syntax))
        assert np.array_equal(first, other), syntax


@pytest.mark.parametrize("name", NAMES)
def test_long_prompts_go_on_in_further_chunks(engine: Engine, pipelines: dict[str, Any], name: str) -> None:
    text = "an old lake bcd efg"  # 1 + 3 + 4, then 3 and 3: 14 tokens
    long = f"{text} x y"
    expected = theirs(
        pipelines[name],
        encoded(pipelines[name], [[(text, 1.0)], [("x y", 1.0)]], "ignore"),
        encoded(pipelines[name], [[(NEGATIVE, 1.0)], []], "ignore"),
    )
    ours = picture(engine, asked(name, prompt=long))
    assert np.abs(ours.astype(int) - expected).max() <= 1
    assert np.array_equal(ours, picture(engine, asked(name, prompt=f"{text} BREAK x y")))
    assert not np.array_equal(ours, picture(engine, asked(name, prompt=text)))


def test_prompts_that_are_too_long_are_refused_in_a_sentence(engine: Engine) -> None:
    with pytest.raises(PromptError, match="32 are the most"):
        picture(engine, asked("sd1", prompt="a " * 1000))


def test_where_a_full_chunk_is_cut() -> None:
    comma = 0

    def cut(ids: Sequence[int], backtrack: int = 3) -> list[list[int]]:
        chunks = chunked([[(Token((i,)),) for i in ids]], 5, comma=comma, backtrack=backtrack)
        return [[token.ids[0] for token in chunk] for chunk in chunks]

    assert cut([1, 2, 3, 4, 5, 6]) == [[1, 2, 3, 4, 5], [6]]
    assert cut([1, 2, 0, 4, 5, 6]) == [[1, 2, 0], [4, 5, 6]]
    assert cut([1, 0, 3, 4, 5, 6]) == [[1, 0, 3, 4, 5], [6]]  # too far back
    assert cut([1, 2, 3, 4, 5, 0, 7]) == [[1, 2, 3, 4, 5], [0, 7]]
    assert cut([1, 2, 3, 0, 5, 6], 0) == [[1, 2, 3, 0, 5], [6]]
    group = tuple(Token((9,)) for _ in range(3))
    chunks = chunked([[(Token((1,)),)] * 3 + [group]], 5)
    assert [len(chunk) for chunk in chunks] == [3, 3]
    assert [len(chunk) for chunk in chunked([[], [(Token((1,)),)], []], 5)] == [0, 1]
    with pytest.raises(PromptError, match="vectors"):
        chunked([[group * 2]], 5)


def test_clip_skip_is_diffusers_one_more(engine: Engine, pipelines: dict[str, Any]) -> None:
    model, tokenizer = towers(pipelines["sd1"])[0]
    norm = next(part for name, part in model.named_modules() if name.endswith("final_layer_norm"))
    with torch.inference_mode():  # as its pipeline with clip_skip=1, which this transformers breaks
        rows = [torch.tensor([chunk_of(tokenizer, [(text, 1.0)])[0]]) for text in ("an old lake", NEGATIVE)]
        skipped = [norm(model(row, output_hidden_states=True).hidden_states[-2]) for row in rows]
    pooled = torch.zeros(0)
    expected = theirs(pipelines["sd1"], (skipped[0], pooled), (skipped[1], pooled))
    ours = picture(engine, asked("sd1", prompt="an old lake", clip_skip=2))
    assert np.abs(ours.astype(int) - expected).max() <= 1
    plain = picture(engine, asked("sd1", prompt="an old lake"))
    assert not np.array_equal(ours, plain)
    assert np.array_equal(plain, picture(engine, asked("sd1", prompt="an old lake", clip_skip=1)))
    xl = [picture(engine, asked("sdxl", prompt="an old lake", clip_skip=n)) for n in (0, 1, 2)]
    assert np.array_equal(xl[0], xl[1]) and np.array_equal(xl[0], xl[2])
    with pytest.raises(AtelierError, match="at most 2"):
        picture(engine, asked("sd1", prompt="an old lake", clip_skip=3))


# What changes with the step, and several conditions -------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_schedule_is_the_same_picture_as_a_branch(engine: Engine, name: str) -> None:
    first, then = asked(name, prompt="an old lake"), asked(name, prompt="sea")
    changed = picture(engine, asked(name, prompt="[an old lake:sea:2]"))
    # A branch goes on from what is kept in half precision.
    branch = picture(engine, branched(then, 2, first))
    assert np.abs(changed.astype(int) - branch).max() <= 2
    assert not np.array_equal(branch, picture(engine, then))
    assert np.array_equal(changed, picture(engine, asked(name, prompt="[an old lake:sea:0.5]")))
    assert np.array_equal(picture(engine, asked(name, prompt="[sea:x:1.0]")), picture(engine, then))
    turns = picture(engine, asked(name, prompt="[an old lake|sea]"))
    assert not np.array_equal(turns, changed)


@pytest.mark.parametrize("name", NAMES)
def test_conditions_are_composed(engine: Engine, name: str) -> None:
    plain = picture(engine, asked(name, prompt="an old lake"))
    halves = picture(engine, asked(name, prompt="an old lake :0.5 AND an old lake :0.5"))
    assert np.abs(halves.astype(int) - plain).max() <= 1
    # Twice as much of it is twice the guidance.
    twice = picture(engine, asked(name, prompt="an old lake AND an old lake"))
    strong = picture(engine, asked(name, prompt="an old lake", guidance_scale=2 * SCALE))
    assert np.abs(twice.astype(int) - strong).max() <= 1
    away = picture(engine, asked(name, prompt="an old lake AND sea :-0.5"))
    assert not np.array_equal(away, plain)
    # Of different lengths, without guidance, and outside of guidance's steps.
    for changes in ({}, {"guidance_scale": 1.0}, {"guidance_start": 0.5}):
        long = asked(name, prompt=f"an old lake AND {'bcd ' * 7}", **changes)
        assert picture(engine, long).std() > 1


@pytest.mark.parametrize("name", NAMES)
def test_alone_and_beside_others_the_bytes_are_the_same(engine: Engine, name: str) -> None:
    prompts = ("an (old:1.4) lake", "[x|(y:0.5)] sea", "a AND (b:1.2) :0.7", "bcd " * 8, "plain")
    requests = [asked(name, prompt=prompt, prompt_weighting="a1111") for prompt in prompts]
    alone = [picture(engine, request) for request in requests]
    beside = [job.pictures()[0] for job in [engine.submit(request) for request in requests]]
    assert all(np.array_equal(one, other) for one, other in zip(alone, beside))


# Embeddings -----------------------------------------------------------------------------------------------


def vectors(n: int, seed: int) -> Tensor:
    return torch.randn(n, 64, generator=torch.Generator().manual_seed(seed)) * 3


def write_embeddings(folder: Path) -> None:
    """One in each container; `bad` is meant to be left out."""
    box = folder / "embeddings"
    box.mkdir()
    save_file({"emb_params": vectors(2, 0)}, box / "kohya.safetensors")
    torch.save({"<learned>": vectors(1, 0)[0]}, box / "learned.bin")
    save_file({"<tokens>": vectors(3, 0)}, box / "tokens.safetensors")
    torch.save(
        {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors(2, 0)}, "name": "x", "step": 9},
        box / "webui.pt",
    )
    save_file({"clip_l": vectors(2, 1), "clip_g": vectors(2, 2)}, box / "both.safetensors")
    torch.save([{"clip_l": vectors(2, 1)}, {"clip_g": vectors(2, 2)}], box / "listed.bin")
    said = {"name": "pic", "string_to_param": {"*": {"TORCHTENSOR": vectors(2, 0).tolist()}}}
    info = PngImagePlugin.PngInfo()
    info.add_text("sd-ti-embedding", base64.b64encode(json.dumps(said).encode()).decode())
    Image.new("RGB", (8, 8)).save(box / "picture.png", pnginfo=info)
    Image.new("RGB", (8, 8)).save(box / "preview.png")


FILES = {"sd1": ("kohya", "learned", "tokens", "webui", "picture"), "sdxl": ("both", "listed")}


def test_they_are_listed_as_what_they_are(library: ModelLibrary) -> None:
    assert set(library.embeddings()) == {*FILES["sd1"], *FILES["sdxl"]}
    assert set(library.embeddings("sdxl")) == set(FILES["sdxl"])
    entries = {entry.name: entry for entry in library.entries()}
    assert entries["both"].description == "2 vectors for Stable Diffusion XL; a prompt names it."
    assert entries["both"].kind == "embedding" and "preview" not in entries
    assert library.prompt_notes("sd1", "an old both") == (
        "The embedding both is for Stable Diffusion XL, so it has no effect here."
    )
    assert library.prompt_notes("sd1", "an old kohya") == ""


def test_an_embedding_that_is_not_there_is_said(library: ModelLibrary) -> None:
    said = "There is no embedding “none” in the folders of models."
    for syntax, prompt in (
        ("comfyui", "a lake, (embedding:none:1.2)"),
        ("a1111", "embedding:none, a lake"),
        ("invokeai", "a lake <none>"),
    ):
        assert library.prompt_notes("sd1", prompt, syntax=syntax) == said
        assert library.prompt_notes("sd1", prompt.replace("none", "kohya"), syntax=syntax) == ""


@pytest.mark.parametrize("name", NAMES)
def test_they_make_the_picture_that_diffusers_makes(
    engine: Engine, pipelines: dict[str, Any], name: str
) -> None:
    for file in FILES[name]:
        pipeline = pipelines[name]
        count = {"learned": 1, "tokens": 3}.get(file, 2)
        token = f"<{file}-{name}>"
        if name == "sd1":
            pipeline.load_textual_inversion({token: vectors(count, 0)}, token=token)
        else:
            for seed, (model, tokenizer) in enumerate(towers(pipeline), 1):
                own = {token: vectors(count, seed)}
                pipeline.load_textual_inversion(own, token=token, text_encoder=model, tokenizer=tokenizer)
        try:
            expected = [
                theirs(pipeline, f"an old {token} lake", NEGATIVE),
                theirs(pipeline, "an old lake", f"{token} a"),
            ]
        finally:
            if name == "sd1":
                pipeline.unload_textual_inversion()
            else:
                for model, tokenizer in towers(pipeline):
                    pipeline.unload_textual_inversion(text_encoder=model, tokenizer=tokenizer)
        requests = [
            asked(name, prompt=f"an old {file} lake"),
            asked(name, prompt="an old lake", negative_prompt=f"{file} a"),
            asked(name, prompt=f"an old embedding:{file} lake", prompt_syntax="comfyui"),
            asked(name, prompt=f"an old <{file}> lake", prompt_syntax="invokeai"),
        ]
        for request, other in zip(requests, (*expected, expected[0], expected[0])):
            error = np.abs(picture(engine, request).astype(int) - other).max()
            print(name, file, request.prompt_syntax, error)
            assert error <= 1
        plain = picture(engine, replace(requests[0], prompt_syntax="plain"))
        assert np.abs(plain.astype(int) - expected[0]).max() > 1


def test_files_that_are_no_embedding_are_refused_in_a_sentence(tmp_path: Path) -> None:
    box = tmp_path / "embeddings"
    box.mkdir()
    save_file({"clip_l": vectors(2, 1), "clip_g": vectors(3, 2)}, box / "uneven.safetensors")
    save_file({"emb_params": vectors(2, 1) * float("nan")}, box / "nan.safetensors")
    save_file({"emb_params": torch.zeros(5000, 64)}, box / "huge.safetensors")
    info = PngImagePlugin.PngInfo()
    info.add_text("sd-ti-embedding", "no base64 !")
    Image.new("RGB", (8, 8)).save(box / "damaged.png", pnginfo=info)
    library = ModelLibrary([tmp_path])
    assert library.embeddings() == ()
    problems = {entry.name: entry.problem for entry in library.entries()}
    assert "more vectors for one text encoder" in problems["uneven"]
    assert "NaN" in problems["nan"] and "more vectors than any" in problems["huge"]
