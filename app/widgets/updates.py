"""What handlers say of components: new values, and changes of how they look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeGuard

import gradio as gr
from gradio.components import Component

Updates = dict[Component, object]  # its new value, a `change` of it, or `gr.skip()`
Values = Mapping[Component, object]  # as the browser sent them
Change = dict[str, object]  # as gradio has it

_SAME = object()


def change(
    *,
    value: object = _SAME,
    choices: Sequence[str | tuple[str, str]] | None = None,
    info: str | None = None,
    placeholder: str | None = None,
    interactive: bool | None = None,
    visible: bool | None = None,
    open: bool | None = None,
    selected: str | None = None,
) -> Change:
    """A change of a component; what is left out stays as it is."""
    looks = {
        "choices": choices, "info": info, "placeholder": placeholder, "interactive": interactive,
        "visible": visible, "open": open, "selected": selected,
    }  # fmt: skip
    changed = {name: look for name, look in looks.items() if look is not None}
    return {**gr.skip(), **changed, **({} if value is _SAME else {"value": value})}


def is_change(update: object) -> TypeGuard[Change]:
    """Whether it is a change rather than a value."""
    return isinstance(update, dict) and update.get("__type__") == "update"
