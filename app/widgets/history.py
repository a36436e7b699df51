"""The pictures that were made, as components whose browser side is assets/history."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from app.widgets.scripts import loading


class HistoryGrid(gr.HTML):
    """All pictures with search, boards and trash.

    Fires `open` with `id` and `tab` of the event's data: a picture to be shown on the stage, with everything
    restored in the tab that made it where `tab` is "", else sent to that tab.

    Args:
        tabs: (title, name) of those that take a picture.
    """

    def __init__(
        self,
        *,
        tabs: Sequence[tuple[str, str]] = (),
        label: str = "Pictures",
        elem_id: str = "history",
        value: str = "",
        render: bool = True,
    ) -> None:
        super().__init__(
            value=value,
            html_template="",
            js_on_load=f'// tells "open"{loading("history", {"kind": "tab", "tabs": list(tabs)})}',
            apply_default_css=False,
            label=label,
            elem_id=elem_id,
            render=render,
        )


class HistoryRail(gr.HTML):
    """The newest pictures; its value is the id of the one on the stage.  Fires `pick` with an `id`."""

    def __init__(
        self,
        *,
        label: str = "Latest pictures",
        elem_id: str = "latest",
        value: str = "",
        render: bool = True,
    ) -> None:
        super().__init__(
            value=value,
            html_template="",
            js_on_load=f'// tells "pick"{loading("history", {"kind": "rail", "tabs": []})}',
            apply_default_css=False,
            label=label,
            elem_id=elem_id,
            render=render,
        )
