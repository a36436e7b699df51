"""The pictures that were made, as components whose browser side is assets/history."""

from __future__ import annotations

from collections.abc import Sequence

from app.widgets.scripts import Scripted, loading


class HistoryGrid(Scripted):
    """All pictures with search, boards and trash.

    Fires `open` with `id` and `tab` of the event's data: a picture to be shown on the stage, with everything
    restored in the tab that made it where `tab` is "", else sent to that tab.

    Args:
        tabs: (title, name) of those that take a picture.
    """

    empty = ""

    def __init__(self, *, tabs: Sequence[tuple[str, str]], label: str, elem_id: str) -> None:
        self._tabs = list(tabs)
        super().__init__(label=label, elem_id=elem_id)

    def code(self) -> str:
        return f'// tells "open"{loading("history", {"kind": "tab", "tabs": self._tabs})}'


class HistoryRail(Scripted):
    """The newest pictures; its value is the id of the one on the stage.  Fires `pick` with an `id`."""

    empty = ""

    def code(self) -> str:
        return f'// tells "pick"{loading("history", {"kind": "rail", "tabs": []})}'
