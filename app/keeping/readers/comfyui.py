"""ComfyUI: the graph that made the picture, as PNG chunk `prompt`; the editor's as `workflow`.

From where the picture was saved one walks back to its samplers, and from the first of these, where it began,
to its prompts, its model and the size of its latent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from app.keeping.readers.carried import Carried
from app.keeping.readers.graph import Graph, Node, from_api, from_editor
from app.keeping.readers.said import Control, Lora, Said, Value
from app.keeping.readers.texts import json_object, name_of, size_of, text_of, value_of

PROGRAM = "ComfyUI"
# Inputs that lead away from the picture itself, to what steers it.
_STEERING = re.compile(
    "^(model|clip|vae|positive|negative|conditioning|control_net|guider|noise|sampler|sigmas|mask|seed|steps|cfg"
    "|sampler_name|scheduler|denoise|.*lora.*|.*model.*|clip_vision.*|text.*|prompt.*)$"
)
# Inputs of a conditioning that are no conditioning.
_NO_PROMPT = re.compile(
    "^(clip|model|vae|control_net|image|mask|pixels|samples|latent.*|style_model|clip_vision.*|.*lora.*)$"
)
_PROMPTS: Mapping[str, tuple[str, ...]] = {
    "positive": ("positive", "positive_prompt", "text_positive", "prompt_positive", "pos"),
    "negative": ("negative", "negative_prompt", "text_negative", "prompt_negative", "neg"),
}
_ENCODED = (("text",), ("text_g", "text_l"), ("clip_l", "t5xxl"), ("prompt",), ("text_to_encode",))
_SIZES = ("resolution", "dimensions", "empty_latent_size", "size")
_UNDERSTOOD = re.compile(
    "sampler|sampling|CLIPTextEncode|CheckpointLoader|UNETLoader|VAE|Lora|LoRA|EmptyLatent|CLIPSetLastLayer|"
    "CLIPLoader|ControlNet|RandomNoise|Scheduler|Guider|Primitive|Reroute|Note|Text|String|Seed|Int|Float|Loader|"
    "LoadImage|Conditioning(Combine|Concat|Average|ZeroOut)|FluxGuidance|ImageScale|Preview|Show|Pipe|LatentUpscale",
    re.IGNORECASE,
)


def read(carried: Carried) -> Said | None:
    """None where it carries no graph with a sampler."""
    parsed = json_object(carried.texts.get("prompt"))
    graph = from_api(parsed) if parsed is not None else None
    said = None if graph is None else _said(graph, ())
    if said is not None:
        return said
    parsed = json_object(carried.texts.get("workflow"))
    graph = from_editor(parsed) if parsed is not None else None
    edited = "Only the editor's graph is in this file; its values may be those after the picture."
    return None if graph is None else _said(graph, (edited,))


def is_sampler(node: Node) -> bool:
    names = node.inputs.keys()
    return (
        {"sampler_name", "steps"} <= names
        or {"sampler", "sigmas"} <= names
        or node.kind.startswith("KSampler ")
    )


def _said(graph: Graph, unread: tuple[str, ...]) -> Said | None:
    chain, about_outputs = _chain(graph)
    if not chain:
        return None
    first = _Sampler(graph, chain[-1])
    made_from = list(graph.upstream(chain[-1]))
    positive, negative = first.prompt("positive"), first.prompt("negative")
    width, height, from_picture = _size(graph, chain[-1])
    loader = next((node for node in graph.upstream(first.model_user) if _checkpoint(graph, node)), None)
    decoder = next(
        (node for node in graph.nodes.values() if "vae" in node.inputs and "samples" in node.inputs), None
    )
    said = Said(
        program=PROGRAM,
        prompt=positive.text,
        negative_prompt=negative.text,
        steps=first.steps,
        sampler=text_of(first.sampler),
        schedule=text_of(first.schedule),
        cfg_scale=first.cfg,
        seed=first.seed,
        width=width,
        height=height,
        model=_checkpoint(graph, loader) if loader else "",
        vae=name_of(graph.value(graph.source(decoder.inputs["vae"]), "vae_name")) if decoder else "",
        denoising_strength=first.denoise if from_picture else None,
        from_picture=from_picture,
        clip_skip=_clip_skip(graph, made_from),
        prompt_syntax="comfyui",
        hires=tuple(_later(graph, node) for node in reversed(chain[:-1])),
        loras=_loras(graph, made_from),
        controls=_controls(graph, made_from),
        others=(
            *first.others(from_picture),
            *positive.others,
            *_strangers(made_from),
            *_batch(graph, made_from),
        ),
        unread=(*unread, *about_outputs, *positive.unread, *negative.unread),
    )
    too_large = ("Its graph is too large to be read to its end.",) if graph.is_too_large else ()
    return replace(said, unread=(*said.unread, *too_large))


# Samplers ------------------------------------------------------------------------------------------------


def _chain(graph: Graph) -> tuple[list[Node], tuple[str, ...]]:
    """The samplers behind the saved picture, the last first, and a sentence about other pictures."""
    users = [node for node in graph.nodes.values() if "images" in node.inputs or "image" in node.inputs]
    saved = [node for node in users if "save" in node.kind.lower()]
    shown = [node for node in users if "preview" in node.kind.lower()]
    chains: list[list[Node]] = []
    for outputs in (saved, shown):
        found = (_samplers(graph, node) for node in outputs)
        chains = chains or [chain for chain in found if chain]
    if not chains:
        loose = [node for node in graph.nodes.values() if is_sampler(node)]
        return loose[-1:], ()
    longest = max(chains, key=len)
    several = len({tuple(node.id for node in chain) for chain in chains}) > 1
    about = "Its graph makes several pictures; of these the one with the most samplers is taken."
    return longest, (about,) if several else ()


def _samplers(graph: Graph, output: Node) -> list[Node]:
    walk = graph.upstream(output, lambda node, name: not _STEERING.match(name))
    return [node for node in walk if is_sampler(node)]


class _Sampler:
    """What a sampler was told, in whichever of ComfyUI's forms."""

    def __init__(self, graph: Graph, node: Node) -> None:
        self._graph, self._node = graph, node
        sigmas, noise = graph.source(node.inputs.get("sigmas")), graph.source(node.inputs.get("noise"))
        guider, chosen = graph.source(node.inputs.get("guider")), graph.source(node.inputs.get("sampler"))
        self._guider = guider or node  # who holds prompts, model and guidance
        self.model_user = self._guider
        self.steps: Value = graph.value(node, "steps") or graph.value(sigmas, "steps")
        self.seed: Value = graph.value(node, "seed", "noise_seed")
        if self.seed is None:
            self.seed = graph.value(noise, "noise_seed", "seed")
        self.cfg: Value = graph.value(self._guider, "cfg", "cfg_scale", "guidance_scale")
        if self.cfg is None and guider is not None and "conditioning" in guider.inputs:
            self.cfg = 1  # BasicGuider guides by nothing
        self.sampler: Value = graph.value(node, "sampler_name") or graph.value(chosen, "sampler_name")
        self.schedule: Value = graph.value(node, "scheduler") or graph.value(sigmas, "scheduler")
        if self.schedule is None and sigmas is not None:
            self.schedule = sigmas.kind.removesuffix("Scheduler").lower()  # KarrasScheduler and its like
        if self.sampler is None and chosen is not None:
            self.sampler = chosen.kind
        self.denoise: Value = graph.value(node, "denoise") or graph.value(sigmas, "denoise")

    def prompt(self, role: str) -> _Prompt:
        link = self._guider.inputs.get(role)
        if link is None and role == "positive":
            link = self._guider.inputs.get("conditioning", self._guider.inputs.get("cond1"))
        if link is None:  # behind a pipe
            walk = self._graph.upstream(self._guider)
            link = next(
                (entry.inputs[role] for entry in walk if role in entry.inputs and entry is not self._guider),
                None,
            )
        return _prompt(self._graph, link, role)

    def others(self, from_picture: bool) -> tuple[tuple[str, Value], ...]:
        graph, node = self._graph, self._node
        found: list[tuple[str, Value]] = []
        start, end = graph.value(node, "start_at_step"), graph.value(node, "end_at_step")
        if isinstance(start, int | float) and start > 0:
            found.append(("start_at_step", start))
        if isinstance(end, int | float) and isinstance(self.steps, int | float) and end < self.steps:
            found.append(("end_at_step", end))
        if not from_picture and isinstance(self.denoise, int | float) and self.denoise < 1:
            found.append(("denoise", self.denoise))
        return tuple(found)


def _later(graph: Graph, node: Node) -> tuple[str, Value]:
    """A further sampler in a few words."""
    settings = _Sampler(graph, node)
    facts = (
        ("steps", settings.steps),
        ("denoise", settings.denoise),
        ("cfg", settings.cfg),
        ("seed", settings.seed),
    )
    sampler = " ".join(str(entry) for entry in (settings.sampler, settings.schedule) if entry)
    return "further sampler", ", ".join(
        [node.kind, sampler, *(f"{n} {v}" for n, v in facts if v is not None)]
    )


# Prompts -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Prompt:
    text: str
    others: tuple[tuple[str, Value], ...] = ()
    unread: tuple[str, ...] = ()


def _prompt(graph: Graph, link: object, role: str) -> _Prompt:
    """The texts that a conditioning is made of."""
    start = graph.source(link)
    if start is None:
        return _Prompt(text_of(link))
    texts: list[str] = []
    others: list[tuple[str, Value]] = []
    ended: set[str] = set()

    def follows(node: Node, name: str) -> bool:
        other = "negative" if role == "positive" else "positive"
        return node.id not in ended and not _NO_PROMPT.match(name) and name not in _PROMPTS[other]

    for node in graph.upstream(start, follows):
        if node.kind == "ConditioningZeroOut":
            ended.add(node.id)
            continue
        encoded = _encoded(graph, node, role)
        if encoded is not None:
            ended.add(node.id)
            texts.append(encoded)
        if node.kind == "FluxGuidance":
            others.append(("Distilled guidance", graph.value(node, "guidance")))
    distinct = list(dict.fromkeys(text for text in texts if text.strip()))
    about = f"Its {role} prompt is put together from {len(distinct)} texts, which stand in lines."
    return _Prompt("\n".join(distinct), tuple(others), (about,) if len(distinct) > 1 else ())


def _encoded(graph: Graph, node: Node, role: str) -> str | None:
    """The text that a node itself encodes; None where it only hands conditionings on."""
    for name in _PROMPTS[role]:
        if isinstance(node.inputs.get(name), str):
            return text_of(node.inputs[name])
    for names in _ENCODED:
        if names[0] in node.inputs:
            texts = [graph.text(node.inputs[name]) for name in names if name in node.inputs]
            return "\n".join(dict.fromkeys(text for text in texts if text.strip()))
    return None


_TEXT_WEIGHTS = ("strength_clip", "lora_clip_strength", "clip_weight", "clip_str")

# The rest ------------------------------------------------------------------------------------------------


def _checkpoint(graph: Graph, node: Node) -> str:
    names = ("ckpt_name", "unet_name", "base_ckpt_name", "model_name", "checkpoint")
    held = graph.value(node, *(name for name in names if name in node.inputs))
    is_loader = "load" in node.kind.lower() or "checkpoint" in node.kind.lower()
    return name_of(held) if is_loader or "ckpt_name" in node.inputs else ""


def _size(graph: Graph, sampler: Node) -> tuple[Value, Value, bool]:
    """Width and height of the latent that a sampler begins with, and whether that is of a picture."""
    link = sampler.inputs.get("latent_image", sampler.inputs.get("latent", sampler.inputs.get("samples")))
    start = graph.source(link) or graph.source(sampler.inputs.get("image")) or sampler
    from_picture = False
    for node in graph.upstream(start, lambda node, name: not _STEERING.match(name)):
        from_picture = from_picture or node.kind.startswith(("LoadImage", "Load Image"))
        for names in (("width", "height"), ("empty_latent_width", "empty_latent_height")):
            width, height = (graph.value(node, name) for name in names)
            if width is not None and height is not None:
                return width, height, from_picture
        width, height = next(
            (size for name in _SIZES if (size := size_of(graph.value(node, name)))[0] is not None),
            (None, None),
        )
        if width is not None:
            return width, height, from_picture
    return None, None, from_picture


def _clip_skip(graph: Graph, nodes: list[Node]) -> Value:
    for node in nodes:
        skip = graph.value(node, "stop_at_clip_layer", "clip_skip")
        if isinstance(skip, int):
            return abs(skip)
    return None


def _loras(graph: Graph, nodes: list[Node]) -> tuple[Lora, ...]:
    found: list[Lora] = []
    for node in nodes:
        for name, thing in node.inputs.items():
            if isinstance(thing, dict) and thing.get("on", True) and text_of(thing.get("lora")):
                found.append(Lora(name_of(thing["lora"]), value_of(thing.get("strength"))))  # rgthree's
            elif match := re.fullmatch(r"lora(?:_name)?(?:_0?(\d{1,2}))?", name):
                number = match[1]
                ends = (f"_{number}", f"_0{number}") if number else ("",)
                starts = (
                    "strength_model",
                    "lora_model_strength",
                    "model_weight",
                    "model_str",
                    "lora_wt",
                    "strength",
                )
                weight = graph.value(node, *(start + end for start in starts for end in ends))
                lora = name_of(graph.value(node, name))
                if lora not in ("", "None") and node.inputs.get(f"switch_{number}", "On") != "Off":
                    text = graph.value(node, *(start + end for start in _TEXT_WEIGHTS for end in ends))
                    found.append(Lora(lora, weight, None if text == weight else text))
    return tuple(found)


def _controls(graph: Graph, nodes: list[Node]) -> tuple[Control, ...]:
    return tuple(
        Control(
            name_of(graph.value(graph.source(node.inputs["control_net"]), "control_net_name")),
            graph.value(node, "strength"),
        )
        for node in nodes
        if "control_net" in node.inputs and ("strength" in node.inputs)
    )


def _strangers(nodes: list[Node]) -> tuple[tuple[str, Value], ...]:
    kinds = sorted(
        {node.kind for node in nodes if not is_sampler(node) and not _UNDERSTOOD.search(node.kind)}
    )
    return (("nodes", ", ".join(kinds)),) if kinds else ()


def _batch(graph: Graph, nodes: list[Node]) -> tuple[tuple[str, Value], ...]:
    """The noise of a batch is drawn at once, so its later pictures cannot be had from their seed."""
    sizes = (graph.value(node, "batch_size") for node in nodes if "Latent" in node.kind)
    return tuple(("batch_size", size) for size in sizes if isinstance(size, int) and size > 1)
