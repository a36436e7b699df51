"""What a picture is downloaded as, and what goes along inside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

import gradio as gr
from gradio.components import Component
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from app.keeping.downloads import Carries, download, is_made_of_pictures
from app.stage.stage import Stage
from app.studio.frames import Finished
from app.studio.jobs import Studio
from app.widgets.asking import page_of
from app.widgets.events import QUICK
from app.widgets.updates import Updates, Values, change
from ldm_core.errors import AtelierError
from ldm_core.pictures.writing import FORMATS, SUFFIXES, Format

CARRIES: tuple[tuple[str, Carries], ...] = (
    ("With everything", "everything"),
    ("Settings only", "settings"),
    ("Nothing", "nothing"),
)
TITLES: tuple[tuple[str, Format], ...] = tuple(zip(("PNG", "JPEG", "WebP", "AVIF"), FORMATS, strict=True))
QUALITY = 90
TOLD = (
    "Everything: the settings, the pictures it was made of, and camera, date and rights of a photograph; the "
    "file in the outputs folder keeps all of it. That a model made the picture is said in any case."
)
ASK = (
    "This picture was made of one of yours, which goes along inside the file. Choose beside Download what "
    "goes along, then press Download again."
)


@dataclass(frozen=True, slots=True)
class Options:
    """How pictures are downloaded; a browser remembers it."""

    fold: gr.Accordion
    carries: gr.Radio
    format: gr.Radio
    quality: gr.Slider
    place: gr.Checkbox
    asked: gr.Checkbox  # hidden: whether a person was asked what goes along

    def controls(self) -> list[Component]:
        return [self.carries, self.format, self.quality, self.place, self.asked]


def make_options() -> Options:
    """Makes the components under the stage."""
    with gr.Accordion("Download as", open=False, elem_id="download-options") as fold:
        carries = gr.Radio(
            list(CARRIES),
            value="everything",
            label="What goes along",
            info=TOLD,
            elem_id="download-carries",
        )
        format = gr.Radio(list(TITLES), value="PNG", label="Format", elem_id="download-format")
        quality = gr.Slider(
            1,
            100,
            value=QUALITY,
            step=1,
            label="Quality",
            info="Of all formats but PNG, which loses nothing.",
            elem_id="download-quality",
        )
        place = gr.Checkbox(
            value=False,
            label="With the place where the photograph was taken",
            elem_id="download-place",
        )
        asked = gr.Checkbox(value=False, visible=False)
    return Options(fold, carries, format, quality, place, asked)


def connect(page: gr.Blocks, studio: Studio, stage: Stage, options: Options) -> None:
    """The button makes the file when it is pressed."""
    file = gr.JSON(visible=False)
    kept = gr.BrowserState({}, storage_key="latent-atelier.download", secret="latent-atelier")

    def save(values: Values, request: gr.Request) -> Updates:
        page = page_of(studio, request)
        picture = page.picture
        if picture is None:
            page.say("There is no picture yet.")
            return {file: None}
        if is_made_of_pictures(picture.request) and values[options.asked] is not True:
            page.say(ASK, "note")
            return {file: None, options.asked: True, options.fold: change(open=True)}
        try:
            return {file: _saved(studio, options, picture, values)}
        except AtelierError as error:
            page.say(str(error), "failed")
            return {file: None}

    controls = options.controls()
    outputs = [file, options.asked, options.fold]
    stage.download.click(save, set(controls), outputs, **QUICK).then(
        None, file, None, js="(file) => latentAtelier.save(file)", api_visibility="private"
    )
    names = ", ".join(f"v{i}" for i in range(len(controls)))
    gr.on(
        [control.change for control in controls],
        None,
        controls,
        kept,
        js=f"({names}) => [[{names}]]",
        api_visibility="private",
    )

    def restore(values: object) -> Updates:
        return _restored(options, values)

    page.load(restore, kept, controls, **QUICK)


def _saved(studio: Studio, options: Options, picture: Finished, values: Values) -> dict[str, str]:
    """Address and name of the file for the browser."""
    carries: Carries = next((key for _, key in CARRIES if key == values[options.carries]), "everything")
    format: Format = next((key for key in FORMATS if key == values[options.format]), "PNG")
    quality = values[options.quality]
    data = download(
        picture.png,
        picture.request,
        studio.model_hash(picture.request.model),
        format,
        carries=carries,
        quality=round(min(max(quality, 1), 100)) if isinstance(quality, int | float) else QUALITY,
        place=values[options.place] is True and not studio.has_guests,
    )
    name = PurePath(picture.name).stem + SUFFIXES[format]
    path = save_bytes_to_cache(data, name, cache_dir=get_upload_folder())
    return {"url": f"gradio_api/file={path}", "name": name}


def _restored(options: Options, values: object) -> Updates:
    """What a browser remembered: input like any other, what does not fit is left out."""
    if not isinstance(values, list) or len(values) != len(options.controls()):
        return {options.asked: gr.skip()}
    carries, format, quality, place, asked = values
    updates: Updates = {options.place: place is True, options.asked: asked is True}
    if carries in [key for _, key in CARRIES]:
        updates[options.carries] = carries
    if format in FORMATS:
        updates[options.format] = format
    if isinstance(quality, int | float) and 1 <= quality <= 100:
        updates[options.quality] = quality
    return updates
