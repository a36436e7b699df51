"""Gradio's Blocks, for handlers that name the few components that change."""

from __future__ import annotations

import copy

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.state_holder import SessionState


class Blocks(gr.Blocks):
    """Leaves a component alone that a handler's dict does not name.

    Gradio makes each of them anew, at every word of a stream: milliseconds for a component, of dozens.
    """

    async def postprocess_data(
        self,
        block_fn: BlockFunction,
        predictions: list[object] | dict[object, object],
        state: SessionState | None,
    ) -> list[object]:
        """For gradio: what the browser gets, in the order of the handler's outputs."""
        outputs = list(block_fn.outputs)
        if not isinstance(predictions, dict) or not all(block in outputs for block in predictions):
            return await super().postprocess_data(block_fn, predictions, state)
        named = [block for block in outputs if block in predictions and not _skips(predictions[block])]
        few = copy.copy(block_fn)
        few.outputs = named
        values = [predictions[block] for block in named]
        made: list[object] = []
        if named:
            # Of a single output gradio expects the value itself.
            made = await super().postprocess_data(few, values if len(named) > 1 else values[0], state)
        found = dict(zip(named, made, strict=True))
        return [found.get(block, gr.skip()) for block in outputs]


def _skips(value: object) -> bool:
    return isinstance(value, dict) and value == gr.skip()
