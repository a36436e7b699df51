"""Components of the page as gradio handles them: made anew for an update, else left alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import gradio as gr
import pytest

from app.studio.jobs import Studio
from app.web.page import build_page
from app.widgets.blocks import Blocks
from app.widgets.events import PRIVATE
from app.widgets.updates import Updates
from ldm_core.library.models import ModelLibrary


class Counted(gr.Textbox):  # type: ignore[misc] # gradio says nothing of its classes
    """Counts how often one was made."""

    made = 0

    def __init__(self, *, value: str = "", label: str | None = None, render: bool = True) -> None:
        super().__init__(value=value, label=label, render=render)
        type(self).made += 1


def outputs(blocks: Blocks, updates: Updates) -> list[object]:
    """What the browser gets of the only handler's answer."""
    (handler,) = blocks.fns.values()
    return asyncio.run(blocks.postprocess_data(handler, updates, None))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_only_what_a_handler_names_is_made_anew(count: int) -> None:
    with Blocks() as blocks:
        parts = [Counted() for _ in range(5)]
        gr.Button().click(dict, None, parts, **PRIVATE)
    before = Counted.made
    updates = {part: gr.update(value="new", label="other") for part in parts[1 : 1 + count]}
    found = outputs(blocks, {**updates, parts[4]: gr.skip()})
    assert Counted.made - before == count
    assert [isinstance(one, dict) and one.get("value") == "new" for one in found] == [
        0 < i <= count for i in range(5)
    ]
    assert found[0] == found[4] == gr.skip()


def test_values_come_in_the_order_of_the_outputs() -> None:
    with Blocks() as blocks:
        parts = [Counted() for _ in range(3)]
        gr.Button().click(dict, None, parts, **PRIVATE)
    assert outputs(blocks, {parts[2]: "last", parts[0]: "first"}) == ["first", gr.skip(), "last"]
    with Blocks(), pytest.raises(ValueError, match="not specified as output"):
        outputs(blocks, {Counted(): "of another page"})


def test_every_component_can_be_updated(tmp_path: Path) -> None:
    """Gradio makes it anew from its arguments for that."""
    page = build_page(Studio(ModelLibrary([tmp_path]), None))
    changed = {block for handler in page.fns.values() for block in handler.outputs}
    parts = [block for block in changed if type(block).__module__.startswith("app.")]
    assert len(parts) > 10
    for block in parts:
        arguments = {**block.constructor_args, "render": False}
        arguments.pop("value", None)
        type(block)(**arguments)
