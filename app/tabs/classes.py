"""The tab that makes pictures of a class, of several, of something between two, or of whatever comes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gradio as gr
from gradio.components import Component

from app.form import form as forms
from app.form.form import Extra, Form
from app.studio.jobs import Studio
from app.widgets.updates import Updates, Values, change
from ldm_core.errors import AtelierError, RequestError
from ldm_core.library.class_names import picture_classes
from ldm_core.library.models import ModelInfo
from ldm_core.request import FRACTION, RULES, ClassToImage, Request
from ldm_core.request.raster import Raster

NAME, TASKS = "classes", ("class", "unconditional")
ANYTHING, NOTHING = ("Anything", ""), ("Nothing", "")
MOST = 16  # classes in one press


@dataclass(frozen=True, slots=True, eq=False)
class Classes(Extra):
    """The tab's own: which classes, and between which two."""

    studio: Studio
    name: gr.Dropdown
    also: gr.Dropdown
    towards: gr.Dropdown
    blend: gr.Slider

    def controls(self) -> Mapping[str, Component]:
        return {"class_name": self.name, "class_to": self.towards, "blend": self.blend}

    def components(self) -> list[Component]:
        return [self.also]

    def main_input(self) -> Component:
        return self.also

    def kept(self) -> Mapping[str, Component]:
        return {"also": self.also}

    def restore(self, kept: Mapping[str, object]) -> Updates:
        also = kept.get("also")
        names = [RULES["class_name"].read(name) for name in also[:MOST]] if isinstance(also, list) else []
        return {self.also: [name for name in names if name]}

    def fields(self, values: Values) -> dict[str, object]:
        names = self.names(values)
        return {"task": "class", "class_name": names[0]} if names else {"task": "unconditional"}

    def names(self, values: Values) -> list[object]:
        """The classes of which there is to be a picture.

        Raises:
            RequestError: too many.
        """
        also = values[self.also]
        names = [values[self.name], *(also if isinstance(also, list) else [])]
        if len(names) > MOST:
            raise RequestError("classes", f"{len(names)} classes", f"at most {MOST} at once")
        return [name for i, name in enumerate(names) if name and name not in names[:i]]

    def several(self, request: Request, values: Values) -> Sequence[Request]:
        """A request for each class, with the same seeds, so that they can be compared."""
        if not isinstance(request, ClassToImage):
            return [request]
        return [dataclasses.replace(request, class_name=str(name)) for name in self.names(values)]

    def fill(self, request: Request) -> Updates:
        updates: Updates = {self.also: []}
        if not isinstance(request, ClassToImage):
            return {**updates, self.name: "", self.towards: ""}
        if request.class_id is not None:
            updates[self.name] = self._name(request.model, request.class_id)
        return updates

    def _name(self, model: str, index: int) -> str:
        """The name of a class that is given by its number."""
        try:
            names = picture_classes(self.studio.models.info(model).spec)
        except AtelierError:
            return ""
        return names[index] if index < len(names) else ""

    def take(self, picture: Raster, request: Request | None) -> Updates:
        return {}

    def suit(self, info: ModelInfo) -> Updates:
        names = picture_classes(info.spec)
        choices = _choices(info)
        return {
            self.name: change(choices=choices, value=choices[0][1]),
            self.also: change(choices=list(names), value=[], interactive=bool(names)),
            self.towards: change(
                choices=[NOTHING, *((name, name) for name in names)], value="", interactive=bool(names)
            ),
        }


def _choices(info: ModelInfo) -> list[tuple[str, str]]:
    """(title, name) of what a model's pictures may show."""
    anything = [ANYTHING] if "unconditional" in info.spec.tasks else []
    return [*anything, *((name, name) for name in picture_classes(info.spec))]


def make_tab(studio: Studio) -> Form[Classes]:
    """Makes the tab's components inside the surrounding `gr.Tab`."""
    made = forms.make_form(studio, NAME, TASKS, lambda: _controls(studio), sized=True)
    return dataclasses.replace(made, several=made.extra.several, takes=False)


def _controls(studio: Studio) -> Classes:
    name = gr.Dropdown(
        [ANYTHING],
        value="",
        label="Class",
        info="What the picture shows; type to search. Anything: unconditional sampling.",
        elem_id=f"{NAME}-name",
    )
    also = gr.Dropdown(
        [],
        value=[],
        multiselect=True,
        label="And also",
        info="One press makes pictures of each of these as well, from the same seeds.",
        elem_id=f"{NAME}-also",
    )
    with gr.Accordion("Blend", open=False, elem_classes="more"):
        towards = gr.Dropdown(
            [NOTHING],
            value="",
            label="Towards",
            info="Another class; what the model is told lies between the two.",
            elem_id=f"{NAME}-towards",
        )
        blend = gr.Slider(
            *FRACTION,
            value=0.5,
            step=0.05,
            label="How far",
            info="0 is the first class, 1 the other: a linear interpolation of their embeddings.",
            elem_id=f"{NAME}-blend",
        )
    return Classes(studio, name, also, towards, blend)
