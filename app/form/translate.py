"""Between the components of a form and a request: read from them, put into them, carried over, restored."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from gradio.components import Component

from app.form import parts
from app.form.defaults import able, model_defaults, serving, shape_of, starting_model
from app.form.form import AnyForm, over, resize, suit_extra
from app.form.region_parts import without_places
from app.grids.axes import Fields, axis_of
from app.grids.plan import Plan, plan
from app.prompts.words import PAIRS
from app.studio.jobs import Studio
from app.widgets.updates import Updates, Values, change, is_change
from ldm_core.errors import RequestError
from ldm_core.request import RULES, TASKS, Request, Semantic, drawn_seed, lasting_branch, parse_request
from ldm_core.request.raster import Raster

SKETCH_STEPS = 8
KIN = ("variation_of", "variation_strength", "plan")  # of a seed, that no field shows
WORDS = {"prompt", "negative_prompt"}


def request_from(form: AnyForm, values: Values) -> Request:
    """The request that a form describes, with a seed of its own where the person wants a new one; the first
    where each picture of a batch has its own words.

    Raises:
        AtelierError: a value is not allowed.
    """
    return form.words.expanded(as_written(form, values))[0]


def requests_from(form: AnyForm, values: Values, *, sketch: bool = False) -> Sequence[Request]:
    """What one press asks for.

    Raises:
        AtelierError: a value is not allowed.
    """
    if sketch:
        return [sketch_from(form, values)]
    if (plan := plan_from(form, values)) is not None:
        return plan.requests
    requests = form.words.expanded(as_written(form, values))
    if form.several is None:
        return requests
    return [each for request in requests for each in form.several(request, values)]


def plan_from(form: AnyForm, values: Values) -> Plan | None:
    """The grid that a form asks for; None where it asks for none.

    Raises:
        AtelierError: it is too large, or a value is not allowed.
    """
    asked = form.grid.asked(values) if form.grid is not None else []
    if not asked:
        return None
    whole = as_written(form, values)
    fields: Fields = {field.name: getattr(whole, field.name) for field in dataclasses.fields(whole)}

    def finished(changed: Fields) -> Request:
        return form.words.expanded(parse_request(changed))[0]

    planned = plan(fields, [axis_of(kind, text, fields) for kind, text in asked], finished)
    there = [entry.name for entry in able(form.words.entries(), form.tasks)]
    for model in dict.fromkeys(request.model for request in planned.requests):
        if model not in there:
            names = ", ".join(there[:20]) or "none"
            raise RequestError("grid", model, f"one of the models here ({names})")
    return planned


def as_written(form: AnyForm, values: Values) -> Request:
    """The request of a form whose words are not yet prompts: its templates are what stands in the fields.

    Raises:
        AtelierError: a value is not allowed.
    """
    common: dict[str, object] = {name: values[component] for name, component in form.fields.items()}
    if values[form.seed_mode] != parts.KEEP_SEED:
        common["seed"] = drawn_seed()
    kin, seed = values[form.kin], RULES["seed"].read(common["seed"])
    if isinstance(kin, dict) and seed is not None and RULES["seed"].read(kin.get("seed")) == seed:
        common |= {name: kin.get(name) for name in KIN}
    if values[form.branch]:
        common["branch"] = values[form.branch]
    common |= _templates(form, values)
    extra = form.extra.fields(values)
    task = str(extra.get("task", form.tasks[0]))
    known = {field.name for field in dataclasses.fields(TASKS[task])}
    common = {name: value for name, value in common.items() if name in known}
    return parse_request({"task": task, **common, **extra})


def _templates(form: AnyForm, values: Values) -> dict[str, object]:
    """What is written, with the chosen styles around it."""
    if "prompt" not in form.fields:
        return {}
    texts = [str(values[form.fields[name]] or "") for name, _ in PAIRS]
    chosen = values[form.styles] if form.styles is not None else None
    if isinstance(chosen, list) and chosen:
        texts = list(form.words.styles.applied(texts[0], texts[1], map(str, chosen)))
    templates = {template: text or None for (_, template), text in zip(PAIRS, texts, strict=True)}
    return {**templates, **{name: "" for name, _ in PAIRS}}


def sketch_from(form: AnyForm, values: Values) -> Request:
    """A request for one quick picture with the seed that is shown.

    Raises:
        AtelierError: a value is not allowed.
    """
    request = request_from(form, {**values, form.seed_mode: parts.KEEP_SEED, form.branch: None})
    request = dataclasses.replace(request, batch_size=1, steps=min(request.steps, SKETCH_STEPS))
    return dataclasses.replace(request, second_pass=0.0) if isinstance(request, Semantic) else request


def fill(
    studio: Studio, form: AnyForm, request: Request, fields_set: Collection[str] | None = None
) -> Updates:
    """Puts a request into a form; a model that is not here leaves the chosen one.

    Args:
        fields_set: the fields that count; all others stay as they are.  None counts all.
    """
    written = form.words.written(request)
    updates: Updates = {
        component: getattr(written if name in WORDS else request, name)
        for name, component in form.fields.items()
        if hasattr(request, name) and (fields_set is None or name in fields_set)
    }
    if form.styles is not None and (fields_set is None or "prompt" in fields_set):
        updates[form.styles] = []  # they are part of the words
    if request.model not in (entry.name for entry in serving(studio, form.tasks)):
        updates.pop(form.model, None)
    updates[form.branch] = lasting_branch(request)
    if fields_set is None or "seed" in fields_set:
        updates[form.seed_mode] = parts.KEEP_SEED
        updates |= seeded(form, request)
    if form.shape is not None and (fields_set is None or "width" in fields_set):
        updates[form.fields["width"]], updates[form.fields["height"]] = request.size
        updates[form.shape] = shape_of(studio, request.model, *request.size)
    return over(over(suit_extra(studio, form, request.model), updates), form.extra.fill(request))


def left_out(form: AnyForm, request: Request) -> list[str]:
    """What `fill` does not put into a form, in sentences."""
    notes = []
    for field, word, home in (("adapters", "LoRAs", "prompt"), ("controls", "ControlNets", "controls")):
        uses = getattr(request, field)
        if uses and home not in form.fields:
            names = ", ".join(use.name for use in uses)
            notes.append(f"Its {word} ({names}) are not taken over: this form has no place for them.")
    placed = hasattr(form.extra, "regions")
    if request.regions and (not placed or without_places(request)):
        which = "given by masks" if placed else "of regions"
        notes.append(f"Its prompts {which} are not taken over: this form has no place for them.")
    return notes


def seeded(form: AnyForm, request: Request) -> Updates:
    """The seed of a request, and of what it makes a variation."""
    of = None if request.variation_of is None else [str(seed) for seed in request.variation_of]
    kin = {
        "seed": str(request.seed),
        "variation_of": of,
        "variation_strength": request.variation_strength,
        "plan": None if request.plan is None else list(request.plan),
    }
    return {form.fields["seed"]: str(request.seed), form.kin: kin}


def take(studio: Studio, form: AnyForm, picture: Raster, request: Request | None, model: object) -> Updates:
    """Puts a picture into a form, with what made it as far as the form has it too.

    Args:
        request: that made it, None where it was not made here.  Its sampler is of use to its own model alone.
        model: which the form has chosen now.

    Raises:
        AtelierError: the picture cannot be used there.
    """
    maker = "" if request is None else request.model
    same = any(maker == entry.name for entry in serving(studio, form.tasks))
    before = {name: getattr(request, name, None) for name in form.fields}
    if request is not None:
        written = form.words.written(request)
        before |= {name: getattr(written, name) for name in WORDS if name in before}
    left = {"batch_size", "width", "height"} if same else form.fields.keys() - WORDS
    updates: Updates = {
        form.fields[name]: value
        for name, value in before.items()
        if name not in left and value is not None and value != ""
    }
    updates[form.branch] = None
    changed = same and maker != model
    model = maker if same else model
    if form.shape is not None:
        updates |= resize(studio, form, model, picture.width, picture.height)
    suited = suit_extra(studio, form, model) if changed else {}
    return over(over(suited, updates), form.extra.take(picture, request))


@dataclasses.dataclass(frozen=True, slots=True)
class Restored:
    """What settings make of a form.

    Attributes:
        values: by the names of `restorable`, as the browser takes them.
        looks: what else changes: choices, the canvas's classes.
    """

    values: dict[str, object]
    looks: Updates


def restorable(form: AnyForm) -> dict[str, Component]:
    """The components that settings fill, by name."""
    return {**form.kept(), **({"shape": form.shape} if form.shape is not None else {})}


def restore(studio: Studio, form: AnyForm, kept: object) -> Updates:
    """Fills a form from settings that were kept: input like any other, what does not fit is left out."""
    restored = restored_from(studio, form, kept)
    names = restorable(form)
    return over(restored.looks, {names[name]: value for name, value in restored.values.items()})


def restored_from(studio: Studio, form: AnyForm, kept: object) -> Restored:
    """What settings that were kept make of a form."""
    if not isinstance(kept, dict):
        kept = {}  # what suits the model counts all the same
    names = {component: name for name, component in restorable(form).items()}
    values: dict[str, object] = {}
    looks: Updates = {}
    for component, update in _restored(studio, form, kept).items():
        name = names.get(component)
        if name is None:
            looks[component] = update
        elif is_change(update):
            if "value" in update:
                values[name] = update["value"]
            looks[component] = {key: part for key, part in update.items() if key != "value"}
        else:
            values[name] = update
    return Restored(values, looks)


def _restored(studio: Studio, form: AnyForm, kept: dict[object, object]) -> Updates:
    updates: Updates = {}
    for name, component in form.fields.items():
        value = RULES[name].read(kept.get(name))
        if value is not None and (
            name != "model" or any(value == entry.name for entry in serving(studio, form.tasks))
        ):
            updates[component] = value
    if kept.get("seed_mode") == parts.KEEP_SEED:
        updates[form.seed_mode] = parts.KEEP_SEED
    updates[form.kin] = kept.get("kin")
    branch = kept.get("branch")
    updates[form.branch] = branch if isinstance(branch, dict) else None
    styles = kept.get("styles")
    if form.styles is not None:
        there = form.words.styles.names()
        chosen = [name for name in styles if name in there] if isinstance(styles, list) else []
        updates[form.styles] = change(choices=list(there), value=chosen, visible=bool(there))
    model = updates.get(form.model, starting_model(studio, form.tasks))
    if form.shape is not None:
        start = model_defaults(studio, model)
        size = (updates.get(form.fields[side], getattr(start, side)) for side in ("width", "height"))
        updates[form.shape] = shape_of(studio, start.model, *size)
    known = {str(name): value for name, value in kept.items()}
    return over(over(suit_extra(studio, form, model), updates), form.extra.restore(known))
