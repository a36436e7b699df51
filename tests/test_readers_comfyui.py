"""ComfyUI's graphs: from the saved picture back to what made it, in the forms that people build."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.keeping.metadata import read_settings
from app.keeping.readers import Settings
from ldm_core.errors import FileError
from tests.carrying import png_of, with_exif
from tests.test_readers import A1111, named, noted, quick

Nodes = dict[str, dict[str, Any]]


def node(kind: str, /, **inputs: object) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def text_to_image() -> Nodes:
    return {
        "4": node("CheckpointLoaderSimple", ckpt_name="SDXL\\ink_v2.safetensors"),
        "5": node("EmptyLatentImage", width=832, height=1216, batch_size=1),
        "6": node("CLIPTextEncode", text="a boat", clip=["4", 1]),
        "7": node("CLIPTextEncode", text="fog", clip=["4", 1]),
        "3": node(
            "KSampler", seed=2**64 - 1, steps=25, cfg=6.5, sampler_name="euler_ancestral", scheduler="karras",
            denoise=1.0, model=["4", 0], positive=["6", 0], negative=["7", 0], latent_image=["5", 0],
        ),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", filename_prefix="ComfyUI", images=["8", 0]),
    }  # fmt: skip


def read(nodes: Nodes, **more: object) -> Settings:
    return read_settings(png_of({"prompt": nodes, **more}))


def check(
    one: Settings, *, size: tuple[int, int] = (832, 1216), prompt: str = "a boat", negative: str = "fog"
) -> None:
    request = one.request
    assert (one.program, request.prompt, request.negative_prompt) == ("ComfyUI", prompt, negative)
    assert (request.seed, request.steps, request.guidance_scale) == (2**64 - 1, 25, 6.5)
    assert (request.sampler, request.spacing) == ("euler_ancestral", "karras")
    assert (request.size, request.model) == (size, "ink_v2")


def test_text_to_image() -> None:
    one = read(text_to_image())
    check(one)
    assert one.notes == ()


GRAPH = json.dumps(text_to_image())


@pytest.mark.parametrize(
    "data",
    [
        with_exif("WEBP", tags={0x10F: 'workflow:{"nodes": []}', 0x110: f"prompt:{GRAPH}"}),
        with_exif("JPEG", tags={0x10E: f"Prompt:{GRAPH}"}),
        with_exif("JPEG", comment=b"ASCII\0\0\0" + json.dumps({"prompt": text_to_image()}).encode()),
        with_exif("JPEG", comment=b"UNICODE\0" + GRAPH.encode("utf-16-be")),
    ],
)
def test_other_places(data: bytes) -> None:
    check(read_settings(data))


def test_a_savers_own_text_comes_first() -> None:
    assert read(text_to_image(), parameters=A1111).program == "A1111"


def test_nodes_that_are_not_connected_do_not_count() -> None:
    loose = {
        "1": node("KSampler", seed=1, steps=1, cfg=1.0, sampler_name="ddim", scheduler="normal", denoise=1.0),
        "2": node("CLIPTextEncode", text="something else", clip=["4", 1]),
        "99": node("PreviewImage", images=["98", 0]),
    }
    check(read({**loose, **text_to_image()}))


def test_values_from_other_nodes() -> None:
    nodes = text_to_image()
    nodes["3"]["inputs"] |= {"seed": ["20", 0], "steps": ["21", 0], "cfg": ["22", 0]}
    nodes["5"]["inputs"] |= {"width": ["23", 0], "height": ["24", 0]}
    nodes["6"]["inputs"]["text"] = ["30", 0]
    nodes["7"]["inputs"]["text"] = ["35", 0]
    nodes |= {
        "20": node("Seed (rgthree)", seed=2**64 - 1),
        "21": node("PrimitiveInt", value=25),
        "22": node("Reroute", **{"": ["25", 0]}) | {"inputs": {"value": ["25", 0]}},
        "25": node("Float", Number="6.5"),
        "23": node("easy int", value=832),
        "24": node("CR Integer", anything=1216),
        "30": node("StringConcatenate", string_a=["31", 0], string_b=["32", 0], delimiter=" "),
        "31": node("Text Multiline", text="a"),
        "32": node("ImpactWildcardProcessor", wildcard_text="{boat|ship}", populated_text="boat", seed=1),
        "35": node("ShowText|pysssss", text=["36", 0], text_0="fog"),
        "36": node("An LLM", temperature=1),
    }
    one = read(nodes)
    check(one)


@pytest.mark.parametrize("between", ["ConditioningSetTimestepRange", "unCLIPConditioning", "Reroute"])
def test_conditionings_handed_on(between: str) -> None:
    nodes = text_to_image()
    nodes["6b"] = node(between, conditioning=["6", 0])
    nodes["3"]["inputs"]["positive"] = ["6b", 0]
    check(read(nodes))


def test_a_controlnet_hands_both_prompts_on() -> None:
    nodes = text_to_image()
    nodes |= {
        "40": node("ControlNetLoader", control_net_name="canny.pth"),
        "41": node("LoadImage", image="hint.png"),
        "42": node(
            "ControlNetApplyAdvanced", strength=0.7, start_percent=0, end_percent=1, positive=["6", 0],
            negative=["7", 0], control_net=["40", 0], image=["41", 0],
        ),
    }  # fmt: skip
    nodes["3"]["inputs"] |= {"positive": ["42", 0], "negative": ["42", 1]}
    one = read(nodes)
    check(one)
    noted(one, "control canny 0.7")


def test_loras_in_their_many_forms() -> None:
    nodes = text_to_image()
    nodes |= {
        "50": node("LoraLoader", lora_name="ink.safetensors", strength_model=0.8, strength_clip=1.0,
                   model=["4", 0], clip=["4", 1]),
        "51": node("Power Lora Loader (rgthree)", lora_1={"on": True, "lora": "sea.safetensors",
        "strength": 0.5},
                   lora_2={"on": False, "lora": "off.safetensors", "strength": 1}, model=["50", 0],
                   clip=["50", 1]),
        "52": node("CR Apply LoRA Stack", model=["51", 0], clip=["51", 1], lora_stack=["53", 0]),
        "53": node("CR LoRA Stack", switch_1="On", lora_name_1="sky.safetensors", model_weight_1=0.3,
                   switch_2="Off", lora_name_2="no.safetensors", model_weight_2=1.0, lora_name_3="None"),
        "54": node("CLIPSetLastLayer", stop_at_clip_layer=-2, clip=["52", 1]),
    }  # fmt: skip
    nodes["3"]["inputs"]["model"] = ["52", 0]
    nodes["6"]["inputs"]["clip"] = ["54", 0]
    one = read(nodes)
    check(one)
    noted(one)
    assert one.request.clip_skip == 2
    assert set(named(one)) == {"ink 0.8 1.0", "sea 0.5", "sky 0.3"}


def test_a_second_pass_is_told_and_the_first_is_read() -> None:
    nodes = text_to_image()
    nodes |= {
        "60": node("LatentUpscaleBy", upscale_method="nearest-exact", scale_by=1.5, samples=["3", 0]),
        "61": node(
            "KSampler", seed=5, steps=12, cfg=4.0, sampler_name="dpmpp_2m", scheduler="karras", denoise=0.5,
            model=["4", 0], positive=["6", 0], negative=["7", 0], latent_image=["60", 0],
        ),
    }  # fmt: skip
    nodes["8"]["inputs"]["samples"] = ["61", 0]
    one = read(nodes)
    check(one)
    noted(one, "further sampler KSampler, dpmpp_2m karras, steps 12, denoise 0.5")


def test_a_base_and_a_refiner() -> None:
    nodes = text_to_image()
    common = {"cfg": 6.5, "sampler_name": "euler_ancestral", "scheduler": "karras", "steps": 25}
    nodes["3"] = node(
        "KSamplerAdvanced", add_noise="enable", noise_seed=2**64 - 1, start_at_step=0, end_at_step=20,
        **common,
        model=["4", 0], positive=["6", 0], negative=["7", 0], latent_image=["5", 0],
    )  # fmt: skip
    nodes["10"] = node("CheckpointLoaderSimple", ckpt_name="refiner.safetensors")
    nodes["11"] = node(
        "KSamplerAdvanced", add_noise="disable", noise_seed=0, start_at_step=20, end_at_step=10000, **common,
        model=["10", 0], positive=["6", 0], negative=["7", 0], latent_image=["3", 0],
    )  # fmt: skip
    nodes["8"]["inputs"]["samples"] = ["11", 0]
    one = read(nodes)
    check(one)
    noted(one, "further sampler KSamplerAdvanced")
    assert "end_at_step 20" in one.notes[0]


def test_samplers_in_parts() -> None:
    nodes = text_to_image()
    nodes |= {
        "3": node("SamplerCustomAdvanced", noise=["70", 0], guider=["71", 0], sampler=["72", 0],
        sigmas=["73", 0],
                  latent_image=["5", 0]),
        "70": node("RandomNoise", noise_seed=2**64 - 1),
        "71": node("CFGGuider", cfg=6.5, model=["4", 0], positive=["6", 0], negative=["7", 0]),
        "72": node("KSamplerSelect", sampler_name="euler_ancestral"),
        "73": node("KarrasScheduler", steps=25, sigma_max=14.6, sigma_min=0.03, rho=7.0),
    }  # fmt: skip
    check(read(nodes))
    nodes["3"] = node("SamplerCustom", add_noise=True, noise_seed=2**64 - 1, cfg=6.5, model=["4", 0],
                      positive=["6", 0], negative=["7", 0], sampler=["72", 0], sigmas=["74", 0],
                      latent_image=["5", 0])  # fmt: skip
    nodes["74"] = node("BasicScheduler", scheduler="karras", steps=25, denoise=1.0, model=["4", 0])
    check(read(nodes))


def test_a_guider_without_guidance() -> None:
    nodes = text_to_image()
    nodes |= {
        "3": node("SamplerCustomAdvanced", noise=["70", 0], guider=["71", 0], sampler=["72", 0],
        sigmas=["73", 0],
                  latent_image=["5", 0]),
        "70": node("RandomNoise", noise_seed=1),
        "71": node("BasicGuider", model=["75", 0], conditioning=["76", 0]),
        "72": node("KSamplerSelect", sampler_name="euler"),
        "73": node("BasicScheduler", scheduler="simple", steps=4, denoise=1.0, model=["75", 0]),
        "75": node("UNETLoader", unet_name="flow.safetensors", weight_dtype="default"),
        "76": node("FluxGuidance", guidance=3.5, conditioning=["6", 0]),
    }  # fmt: skip
    one = read(nodes)
    assert (one.request.prompt, one.request.negative_prompt, one.request.guidance_scale) == (
        "a boat",
        "",
        1.0,
    )
    assert one.request.model == "flow"
    noted(one, "'simple'", "Distilled guidance 3.5")


def test_a_loader_with_everything() -> None:
    nodes: Nodes = {
        "1": node(
            "Efficient Loader", ckpt_name="ink_v2.safetensors", vae_name="Baked VAE", clip_skip=-2,
            lora_name="None",
            positive="a boat", negative="fog", empty_latent_width=832, empty_latent_height=1216, batch_size=4,
        ),
        "2": node(
            "KSampler (Efficient)", seed=2**64 - 1, steps=25, cfg=6.5, sampler_name="euler_ancestral",
            scheduler="karras", denoise=1, model=["1", 0], positive=["1", 1], negative=["1", 2],
            latent_image=["1", 3], optional_vae=["1", 4],
        ),
        "3": node("SaveImage", images=["2", 5]),
    }  # fmt: skip
    one = read(nodes)
    check(one)
    assert one.request.clip_skip == 2


def test_prompts_of_several_texts() -> None:
    nodes = text_to_image()
    nodes["6"] = node(
        "CLIPTextEncodeSDXL", text_g="a boat", text_l="a boat", width=1024, height=1024, clip=["4", 1]
    )
    nodes["6b"] = node("CLIPTextEncode", text="at dusk", clip=["4", 1])
    nodes["6c"] = node("ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["6b", 0])
    nodes["7b"] = node("ConditioningZeroOut", conditioning=["7", 0])
    nodes["3"]["inputs"] |= {"positive": ["6c", 0], "negative": ["7b", 0]}
    one = read(nodes)
    check(one, prompt="a boat\nat dusk", negative="")
    noted(one, "put together from 2 texts")


def test_a_picture_from_a_picture() -> None:
    nodes = text_to_image()
    nodes["5"] = node("VAEEncode", pixels=["80", 0], vae=["4", 2])
    nodes["80"] = node("LoadImage", image="photo.png")
    nodes["3"]["inputs"]["denoise"] = 0.4
    one = read(nodes)
    assert not {"width", "height"} & one.fields_set
    noted(one, "another picture", "denoising strength 0.4")


def test_several_pictures_of_one_graph() -> None:
    nodes = text_to_image()
    nodes |= {
        "90": {**nodes["3"], "inputs": nodes["3"]["inputs"] | {"seed": 3}},
        "91": node("VAEDecode", samples=["90", 0], vae=["4", 2]),
        "92": node("SaveImage", images=["91", 0]),
    }
    noted(read(nodes), "several pictures")


def test_strange_nodes_are_named() -> None:
    nodes = text_to_image()
    nodes["4b"] = node("FreeU_V2", b1=1.3, b2=1.4, s1=0.9, s2=0.2, model=["4", 0])
    nodes["3"]["inputs"]["model"] = ["4b", 0]
    one = read(nodes)
    check(one)
    noted(one, "nodes FreeU_V2")


# The editor's graph --------------------------------------------------------------------------------------


def editor(*, bypassed: bool = False) -> dict[str, Any]:
    def made(
        id: int,
        type: str,
        values: object,
        inputs: list[tuple[str, str, int]],
        outputs: str = "",
        mode: int = 0,
    ):  # type: ignore[no-untyped-def]
        return {
            "id": id, "type": type, "mode": mode, "widgets_values": values,
            "inputs": [{"name": name, "type": kind, "link": link} for name, kind, link in inputs],
            "outputs": [{"type": kind} for kind in outputs.split()],
        }  # fmt: skip

    nodes = [
        made(4, "CheckpointLoaderSimple", ["ink_v2.ckpt"], [], "MODEL CLIP VAE"),
        made(2, "LoraLoader", ["ink", 0.5, 1], [("model", "MODEL", 10), ("clip", "CLIP", 11)], "MODEL CLIP",
             mode=4 if bypassed else 0),
        made(5, "EmptyLatentImage", [832, 1216, 1], [], "LATENT"),
        made(6, "CLIPTextEncode", ["a boat"], [("clip", "CLIP", 12)], "CONDITIONING"),
        made(7, "CLIPTextEncode", {"text": "fog"}, [("clip", "CLIP", 13)], "CONDITIONING"),
        made(3, "KSampler", [2**64 - 1, "randomize", 25, 6.5, "euler_ancestral", "karras", 1],
             [("model", "MODEL", 14), ("positive", "CONDITIONING", 15), ("negative", "CONDITIONING", 16),
              ("latent_image", "LATENT", 17)], "LATENT"),
        made(8, "VAEDecode", [], [("samples", "LATENT", 18), ("vae", "VAE", 19)], "IMAGE"),
        made(9, "SaveImage", ["x"], [("images", "IMAGE", 20)]),
        made(99, "KSampler", [1, "fixed", 1, 1, "ddim", "normal", 1], [], mode=2),
    ]  # fmt: skip
    links = [
        [10, 4, 0, 2, 0, "MODEL"], [11, 4, 1, 2, 1, "CLIP"], [12, 2, 1, 6, 0, "CLIP"], [13, 2, 1, 7, 0,
        "CLIP"],
        [14, 2, 0, 3, 0, "MODEL"], [15, 6, 0, 3, 1, "CONDITIONING"], [16, 7, 0, 3, 2, "CONDITIONING"],
        [17, 5, 0, 3, 3, "LATENT"], [18, 3, 0, 8, 0, "LATENT"], [19, 4, 2, 8, 1, "VAE"], [20, 8, 0, 9, 0,
        "IMAGE"],
    ]  # fmt: skip
    return {"nodes": nodes, "links": links, "version": 0.4}


@pytest.mark.parametrize("bypassed", [False, True])
def test_the_editors_graph_alone(bypassed: bool) -> None:
    one = read_settings(png_of({"workflow": editor(bypassed=bypassed)}))
    check(one)
    noted(one, "Only the editor's graph")
    assert named(one) == ([] if bypassed else ["ink 0.5 1"])


# Hostile graphs ------------------------------------------------------------------------------------------


def test_numbers_that_python_writes() -> None:
    text = json.dumps(text_to_image()).replace("6.5", "NaN").replace("1.0", "Infinity")
    one = read_settings(png_of({"prompt": text}))
    assert one.request.prompt == "a boat" and "guidance_scale" not in one.fields_set
    assert any("guidance scale nan" in note for note in one.notes)


def test_circles_end() -> None:
    nodes = text_to_image()
    nodes["4"]["inputs"]["ckpt_name"] = ["4", 0]
    nodes["5"]["inputs"] |= {"width": ["5", 0], "samples": ["3", 0]}
    nodes["6"]["inputs"]["text"] = ["6", 0]
    nodes["7"]["inputs"] = {"text": ["7b", 0]}
    nodes["7b"] = node("Text Concatenate", text_a=["7", 0], text_b=["7b", 0], text_c=["7", 0])
    nodes["3"]["inputs"] |= {"seed": ["3", 0], "model": ["3", 0]}
    quick(png_of({"prompt": nodes}))


def test_texts_that_fan_out_are_bounded() -> None:
    nodes = text_to_image()
    nodes["6"]["inputs"]["text"] = ["t0", 0]
    for i in range(200):
        nodes[f"t{i}"] = node("concat", **{f"text_{j}": [f"t{i + 1}", 0] for j in range(50)})
    quick(png_of({"prompt": nodes}))
    nodes = text_to_image()
    nodes["t"] = node("concat", **{f"text_{j}": "x" for j in range(50_000)})
    nodes |= {f"e{i}": node("CLIPTextEncode", text=["t", 0]) for i in range(10_000)}
    nodes["6"] = node("ConditioningCombine", **{f"c{i}": [f"e{i}", 0] for i in range(10_000)})
    quick(png_of({"prompt": nodes}))
    nodes = text_to_image()
    nodes |= {f"s{i}": node("SaveImage", images=["8", 0]) for i in range(10_000)}
    nodes["5"] = node("EmptyLatentImage", **{f"i{i}": [f"s{i}", 0] for i in range(10_000)})
    quick(png_of({"prompt": nodes}))


def test_graphs_without_samplers_carry_no_settings() -> None:
    for graph in ({}, {"1": node("LoadImage", image="x")}, {"1": []}, {"1": {"class_type": 3}}):
        with pytest.raises(FileError):
            read_settings(png_of({"prompt": graph, "workflow": {"nodes": [{}], "links": [[]]}}))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_graphs_with_wrong_values_are_read_or_refused(data: st.DataObject) -> None:
    nodes = text_to_image()
    names = [*nodes, "nobody"]
    value = (
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just({})
        | st.tuples(st.sampled_from(names), st.integers(-2, 9)).map(list) | st.lists(st.integers(),
        max_size=3)
    )  # fmt: skip
    for _ in range(data.draw(st.integers(0, 8))):
        one = nodes[data.draw(st.sampled_from(sorted(nodes)))]
        if one["inputs"]:
            one["inputs"][data.draw(st.sampled_from(sorted(one["inputs"])))] = data.draw(value)
    quick(png_of({"prompt": nodes}))
    graph = editor()
    for _ in range(data.draw(st.integers(0, 8))):
        one = data.draw(st.sampled_from(graph["nodes"]))
        one[data.draw(st.sampled_from(sorted(one)))] = data.draw(value)
        graph["links"][data.draw(st.integers(0, 10))] = data.draw(value)
    quick(png_of({"workflow": graph}))
