"""ComfyUI's graphs of nodes: as the API takes them, and as the editor keeps them.

API:    {"3": {"class_type": "KSampler", "inputs": {"seed": 1, "model": ["4", 0]}}, ...}
Editor: {"nodes": [{"id": 3, "type": "KSampler", "inputs": [{"name": "model", "link": 7}],
                    "widgets_values": [1, ...]}, ...],
         "links": [[7, 4, 0, 3, 0, "MODEL"], ...]}
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from app.keeping.readers.said import Value
from app.keeping.readers.texts import Object, object_of, objects_of, text_of, value_of

MAX_NODES = 20_000
_MAX_LOOKS = 1_000_000  # at inputs; a graph that needs more is read as far as that
_DEPTH = 40  # of nodes that a value is handed on through

# Names of the editor's values, which it keeps in a row; "" is what only the editor needs.
_WIDGETS: Mapping[str, tuple[str, ...]] = {
    "KSampler": ("seed", "", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "KSamplerAdvanced": (
        "add_noise", "noise_seed", "", "steps", "cfg", "sampler_name", "scheduler", "start_at_step",
        "end_at_step", "return_with_leftover_noise",
    ),
    "SamplerCustom": ("add_noise", "noise_seed", "", "cfg"),
    "RandomNoise": ("noise_seed",),
    "KSamplerSelect": ("sampler_name",),
    "BasicScheduler": ("scheduler", "steps", "denoise"),
    "KarrasScheduler": ("steps", "sigma_max", "sigma_min", "rho"),
    "SDTurboScheduler": ("steps", "denoise"),
    "CFGGuider": ("cfg",),
    "CLIPTextEncode": ("text",),
    "CLIPTextEncodeSDXL": (
        "width", "height", "crop_w", "crop_h", "target_width", "target_height", "text_g", "text_l",
    ),
    "CLIPSetLastLayer": ("stop_at_clip_layer",),
    "CheckpointLoaderSimple": ("ckpt_name",),
    "CheckpointLoader": ("config_name", "ckpt_name"),
    "UNETLoader": ("unet_name", "weight_dtype"),
    "VAELoader": ("vae_name",),
    "LoraLoader": ("lora_name", "strength_model", "strength_clip"),
    "LoraLoaderModelOnly": ("lora_name", "strength_model"),
    "EmptyLatentImage": ("width", "height", "batch_size"),
    "EmptySD3LatentImage": ("width", "height", "batch_size"),
    "LatentUpscale": ("upscale_method", "width", "height", "crop"),
    "LatentUpscaleBy": ("upscale_method", "scale_by"),
    "ControlNetLoader": ("control_net_name",),
    "ControlNetApply": ("strength",),
    "ControlNetApplyAdvanced": ("strength", "start_percent", "end_percent"),
    "FluxGuidance": ("guidance",),
    "LoadImage": ("image",),
    "PrimitiveNode": ("value",),
}  # fmt: skip
_AFTER_SEED = ("fixed", "increment", "decrement", "randomize")
_MUTED, _BYPASSED = 2, 4  # an editor's node modes

# Where a node that makes or hands on a value may hold it.
_VALUES = ("value", "Value", "seed", "noise_seed", "int", "number", "float", "a", "val", "index")
_TEXTS = (
    "populated_text", "text", "string", "prompt", "value", "Text", "prompt_text", "text_0", "result",
    "source", "wildcard_text", "string_field", "input", "text_a", "on_true", "on_false", "any_01",
)  # fmt: skip
_JOINS = re.compile("concat|join|combine|append", re.IGNORECASE)
_SEPARATORS = ("delimiter", "separator", "delim")


@dataclass(frozen=True, slots=True)
class Node:
    id: str
    kind: str
    inputs: Object


class Graph:
    """Nodes by their id."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self.nodes = nodes
        self._looks = _MAX_LOOKS

    @property
    def is_too_large(self) -> bool:
        """Whether something was not looked at."""
        return self._looks <= 0

    def _inputs(self, node: Node) -> Object:
        """A node's inputs, as long as there are looks left."""
        self._looks -= 1 + len(node.inputs)
        return node.inputs if self._looks > 0 else {}

    def source(self, link: object) -> Node | None:
        """The node that an input is connected to; None for a value."""
        is_link = isinstance(link, list) and len(link) == 2 and isinstance(link[0], str | int)
        return self.nodes.get(str(link[0])) if is_link and isinstance(link, list) else None

    def upstream(
        self, start: Node, follows: Callable[[Node, str], bool] = lambda node, name: True
    ) -> Iterator[Node]:
        """The node and all that it is made from, the nearest first, each once.

        Args:
            follows: whether an input of a node is followed.
        """
        seen, waiting = {start.id}, deque([start])
        while waiting:
            node = waiting.popleft()
            yield node
            for name, link in self._inputs(node).items():
                source = self.source(link)
                if source is not None and source.id not in seen and follows(node, name):
                    seen.add(source.id)
                    waiting.append(source)

    def value(self, node: Node | None, *names: str) -> Value:
        """The first of these inputs that has a value, followed to where it is made."""
        for name in names if node is not None else ():
            found = self._value(node.inputs.get(name), name) if node is not None else None
            if found is not None:
                return found
        return None

    def _value(self, thing: object, name: str) -> Value:
        for _ in range(_DEPTH):
            if isinstance(thing, dict):  # some nodes keep a file's name beside its picture
                thing = thing.get("content", thing.get("__value__"))
            source = self.source(thing)
            if source is None:
                return value_of(thing)
            held = next((entry for entry in (name, *_VALUES) if entry in source.inputs), None)
            if held is None:
                alone = [entry for entry in self._inputs(source).values() if value_of(entry) is not None]
                return value_of(alone[0]) if len(alone) == 1 else None
            thing = source.inputs[held]
        return None

    def text(self, thing: object) -> str:
        """A text, or the one that a chain of nodes of texts makes."""
        return self._text(thing, set())

    def _text(self, thing: object, seen: set[str]) -> str:
        source = self.source(thing)
        if source is None:
            return text_of(thing)
        if source.id in seen or len(seen) >= _DEPTH:
            return ""
        seen.add(source.id)
        if _JOINS.search(source.kind):
            between = next(
                (text_of(source.inputs[name]) for name in _SEPARATORS if name in source.inputs), ""
            )
            parts = (
                self._text(entry, seen)
                for name, entry in self._inputs(source).items()
                if name not in _SEPARATORS
            )
            return between.join(part for part in parts if part)
        held = (self._text(source.inputs[name], seen) for name in _TEXTS if name in source.inputs)
        return next((entry for entry in held if entry.strip()), "")


def from_api(graph: Object) -> Graph | None:
    """None where it is no graph."""
    nodes: dict[str, Node] = {}
    for name, entry in list(graph.items())[:MAX_NODES]:
        kind = object_of(entry).get("class_type")
        if isinstance(kind, str):
            nodes[name] = Node(name, kind, object_of(object_of(entry).get("inputs")))
    return Graph(nodes) if nodes else None


def from_editor(graph: Object) -> Graph | None:
    """None where it is no graph.  What is switched off in the editor is left out."""
    listed = {str(entry.get("id")): entry for entry in objects_of(graph.get("nodes"))[:MAX_NODES]}
    rows = graph.get("links")
    links = {
        row[0]: (str(row[1]), row[2])
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, list) and len(row) >= 3 and isinstance(row[0], int)
    }

    def resolved(link: object) -> list[object] | None:
        """Past nodes that are bypassed: what comes in is handed on to an output of its type."""
        for _ in range(_DEPTH):
            if not isinstance(link, int) or link not in links:
                return None
            id, slot = links[link]
            node = listed.get(id)
            if node is None or node.get("mode") == _MUTED:
                return None
            if node.get("mode") != _BYPASSED:
                return [id, slot]
            outputs = objects_of(node.get("outputs"))
            wanted = outputs[slot].get("type") if isinstance(slot, int) and 0 <= slot < len(outputs) else None
            link = next(
                (
                    entry.get("link")
                    for entry in objects_of(node.get("inputs"))
                    if entry.get("type") == wanted
                ),
                None,
            )
        return None

    nodes = {
        id: Node(id, text_of(entry.get("type")), _editor_inputs(entry, resolved))
        for id, entry in listed.items()
        if entry.get("mode") not in (_MUTED, _BYPASSED) and isinstance(entry.get("type"), str)
    }
    return Graph(nodes) if nodes else None


def _editor_inputs(node: Object, resolved: Callable[[object], list[object] | None]) -> Object:
    values = _widgets(node)
    links = {
        text_of(entry.get("name")): link
        for entry in objects_of(node.get("inputs"))
        if (link := resolved(entry.get("link"))) is not None
    }
    return values | links


def _widgets(node: Object) -> dict[str, object]:
    """The values of a node by name, as far as their names are known."""
    values = node.get("widgets_values")
    if isinstance(values, dict):
        return dict(values)
    if not isinstance(values, list):
        return {}
    kind = text_of(node.get("type"))
    names = _WIDGETS.get(kind)
    if names is None:
        names = tuple(
            text_of(entry.get("name"))
            for entry in objects_of(node.get("inputs"))
            if isinstance(entry.get("widget"), dict)
        )
        values = [entry for entry in values if entry not in _AFTER_SEED]
        if not names and len(texts := [entry for entry in values if isinstance(entry, str)]) == 1:
            return {"text": texts[0]}
    return {name: entry for name, entry in zip(names, values, strict=False) if name}
