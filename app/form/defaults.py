"""The models that there are for a form, and what each of them works best with."""

from __future__ import annotations

import html
from collections.abc import Sequence

from app.studio.jobs import Studio
from ldm_core.conditioners.syntax import syntax_of
from ldm_core.errors import AtelierError
from ldm_core.library.index import Entry
from ldm_core.prompts import AUTO
from ldm_core.request import DEFAULT_MODEL, SAMPLERS, SIZE, TextToImage

SHAPES = {"Square": (1.0, 1.0), "Wide": (1.5, 1.0), "Tall": (1.0, 1.5)}  # of the model's own size
NO_MODEL = "None yet: add one under Models"
LOOKING = "Looking for models…"


def serving(studio: Studio, tasks: Sequence[str]) -> tuple[Entry, ...]:
    """The models that can do one of the tasks, sorted by name."""
    return able(studio.models.entries(), tasks)


def able(entries: Sequence[Entry], tasks: Sequence[str]) -> tuple[Entry, ...]:
    """Those that can do one of the tasks."""
    # Any model that makes whole pictures goes on from one; a form asks for more than that.
    named = [task for task in tasks if task != "image-to-image"]
    return tuple(entry for entry in entries if any(entry.serves(task) for task in named))


def model_choices(studio: Studio, tasks: Sequence[str]) -> list[tuple[str, str]]:
    """(title, name) of each model for a form; one choice that says so where there is none."""
    choices = [(_titled(entry), entry.name) for entry in serving(studio, tasks)]
    return choices or [(NO_MODEL if studio.is_ready else LOOKING, "")]


def _titled(entry: Entry) -> str:
    return entry.name if entry.title.lower() in ("", entry.name.lower()) else f"{entry.title} ({entry.name})"


def starting_model(studio: Studio, tasks: Sequence[str]) -> str:
    """The model that a new page has chosen; "" where none can do it."""
    names = [entry.name for entry in serving(studio, tasks)]
    return DEFAULT_MODEL if DEFAULT_MODEL in names else next(iter(names), "")


def model_defaults(studio: Studio, name: object) -> TextToImage:
    """The request that suits a model; plain defaults where it does not say or does not exist."""
    try:
        return studio.models.info(str(name)).defaults
    except AtelierError:
        return TextToImage()


def reason_of(studio: Studio, name: object) -> str:
    """Why a model begins with unusual settings, as HTML; empty where they are usual."""
    try:
        reason = studio.models.info(str(name)).reason
    except AtelierError:
        return ""
    return f"<p>{html.escape(reason)}</p>" if reason else ""


def takes_prompts(studio: Studio, name: object) -> bool:
    """Whether a model reads words; True where that is not known."""
    try:
        return studio.models.info(str(name)).spec.takes_prompts
    except AtelierError:
        return True


def reads_syntax(studio: Studio, name: object) -> bool:
    """Whether a model's prompts have a syntax by themselves; False where that is not known."""
    try:
        return syntax_of(AUTO, studio.models.info(str(name)).spec) != "plain"
    except AtelierError:
        return False


def suited_spacing(studio: Studio, model: object, sampler: object) -> str:
    """The spacing that a newly chosen sampler works best with."""
    start = model_defaults(studio, model)
    try:
        starts_in_noise = studio.models.info(start.model).spec.schedule.zero_terminal_snr
    except AtelierError:
        starts_in_noise = False
    spec = SAMPLERS.get(str(sampler))
    # Karras's would spend most of the steps where nothing is left but noise.
    if spec is None or spec.spacing is None or (spec.spacing == "karras" and starts_in_noise):
        return start.spacing
    return spec.spacing


def size_of(studio: Studio, model: object, shape: object) -> tuple[int, int]:
    """Width and height of a format for a model, in pixels."""
    return size_like(studio, model, SHAPES.get(str(shape), (1.0, 1.0)))


def size_like(studio: Studio, model: object, shape: tuple[float, float]) -> tuple[int, int]:
    """Args: `shape` has the sides in units of the model's own shorter side."""
    start = model_defaults(studio, model)
    try:
        multiple = studio.models.info(start.model).size_multiple
    except AtelierError:
        multiple = 64
    side = min(start.width, start.height)
    width, height = (
        min(max(SIZE[0], round(side * factor / multiple) * multiple), SIZE[1]) for factor in shape
    )
    return width, height


def shape_of(studio: Studio, model: object, width: object, height: object) -> str | None:
    """The format that has this size, if one has."""
    return next((shape for shape in SHAPES if size_of(studio, model, shape) == (width, height)), None)
