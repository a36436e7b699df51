"""A picture that a person gives: dropped, pasted or opened in a tab, read from the uploads alone."""

from __future__ import annotations

import gradio as gr
from gradio.data_classes import ImageData

from app.widgets.events import QUICK
from app.widgets.shown import copy_for_page, kept_upload, original_of, read_upload
from app.widgets.uploads import uploaded_file
from ldm_core.errors import FileError
from ldm_core.request.raster import Kind, Raster


class PictureInput(gr.Image):
    """A place for a picture.  Handlers without preprocessing read what it sends by `uploaded`; it takes a
    `Raster`, what `still_there` gives, or None, which empties it."""

    is_template = True  # the browser's side is gr.Image's own

    def postprocess(self, value: Raster | ImageData | None) -> ImageData | None:
        """For gradio: the value as the browser takes it."""
        if not isinstance(value, Raster):
            return value
        file = copy_for_page(kept_upload(value))
        return ImageData(path=str(file), orig_name=file.name)


def picture_input(label: str, elem_id: str) -> PictureInput:
    """Makes one.  Gradio tells the browser only what a component's own constructor names, so that stays."""
    picture = PictureInput(
        label=label,
        elem_id=elem_id,
        elem_classes=["picture-input"],
        height=200,
        format="png",
        sources=["upload", "clipboard"],
        buttons=[],
        interactive=True,
    )
    show_as_read(picture)
    return picture


def uploaded(payload: object, kind: Kind = "picture") -> Raster | None:
    """The pixels of a file that the browser uploaded; None where there is none.

    Args:
        payload: what gradio calls a file, or anything else.

    Raises:
        FileError: it has not arrived, is gone, too large or no picture.
    """
    if payload is None:
        return None
    return read_upload(uploaded_file(payload), kind)


def still_there(payload: object) -> ImageData | None:
    """A picture of which the browser kept what gradio calls it; None where the program has it no more."""
    try:
        file = uploaded_file(payload)
    except FileError:
        return None
    return ImageData(path=str(copy_for_page(file)), orig_name=file.name)


def as_browser_has_it(value: object) -> object:
    """A component's value as the browser holds it, where no component has made it that."""
    if not isinstance(value, ImageData):
        return value
    return {**value.model_dump(), "url": f"/gradio_api/file={value.path}"}


def show_as_read(picture: PictureInput) -> None:
    """Once a file has arrived, shows what the program reads in it: a browser may read it otherwise."""

    def show(payload: object) -> ImageData | None:
        try:
            file = original_of(uploaded_file(payload))
            copy = copy_for_page(file)
        except FileError:  # said where it is used
            return gr.skip()
        if copy == file:
            return gr.skip()
        return ImageData(path=str(copy), orig_name=copy.name)

    picture.upload(show, picture, picture, **QUICK)
