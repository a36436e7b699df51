"""What gradio keeps of each session, without its copy of the page's whole configuration.

Gradio makes that copy for deep links, which are not served here, at the first event of every page and at
every call of a program: half a second of the one thread that answers everybody, and megabytes for each of
ten thousand.  The lists of components and functions, 60 KB for each call, are copied only for
sessions that change a component.
"""

from __future__ import annotations

import datetime
from copy import copy

import gradio as gr
from gradio import state_holder
from gradio.state_holder import SessionState

KEPT = 2000
CLOSED_SECONDS = 3600  # that a closed session's state is kept


class Session(SessionState):
    """A session's own components and the values of its `gr.State`s."""

    def __init__(self, blocks: gr.Blocks) -> None:
        self._shared = blocks.default_config
        self.blocks_config = self._shared
        self.config_values: dict[int, object] = {}
        self.state_data: dict[int, object] = {}
        self._state_ttl: dict[int, object] = {}
        self.is_closed = False
        self.STATE_TTL_WHEN_CLOSED = CLOSED_SECONDS

    def __setitem__(self, key: int, value: object) -> None:
        block = self.blocks_config.blocks.get(key)
        if isinstance(block, gr.State):
            self._state_ttl[key] = block.time_to_live, datetime.datetime.now()
            self.state_data[key] = value
            return
        if self.blocks_config is self._shared:
            self.blocks_config = copy(self._shared)
        self.blocks_config.blocks[key] = value

    def _update_config(self, key: int) -> None:
        """Nothing asks for it."""

    def _update_value_in_config(self, key: int, value: object) -> None:
        """Nothing asks for it."""


def keep_little() -> None:
    """Lets gradio make sessions of this kind."""
    state_holder.SessionState = Session
