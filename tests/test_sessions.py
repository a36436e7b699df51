"""What is kept of each session is its own, and little."""

from __future__ import annotations

import gradio as gr

from app.web.sessions import Session


def test_a_session_that_changes_a_component_changes_nobody_else_s() -> None:
    with gr.Blocks() as blocks:
        words = gr.Textbox("page")
        kept = gr.State(1)
    one, other = Session(blocks), Session(blocks)
    assert one.blocks_config is other.blocks_config, "nothing is copied yet"
    one[kept._id] = 2
    assert one.blocks_config is other.blocks_config and other.state_data == {}
    one[words._id] = mine = gr.Textbox("mine", render=False)
    assert one.blocks_config.blocks[words._id] is mine
    assert other.blocks_config.blocks[words._id] is words is blocks.default_config.blocks[words._id]
    assert Session(blocks).blocks_config.blocks[words._id] is words
