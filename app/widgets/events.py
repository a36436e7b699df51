"""How handlers are connected to components' events; gradio's `click`, `change` ... take these as they are."""

from __future__ import annotations

# Handlers of the page, no interface for programs.  Values reach them as the browser sent them: the request
# checks them, with better sentences.  Progress is shown by the stage: gradio would visit each component that
# ever was an output at every event, and search the whole page for each.
PRIVATE = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "show_progress_on": [],
    "preprocess": False,
}
# At once, beside whatever is in gradio's queue.
QUICK = {**PRIVATE, "queue": False}
# The same two for components whose values gradio has to make first, such as `gr.State`.
PREPROCESSED = {**PRIVATE, "preprocess": True}
QUICK_PREPROCESSED = {**QUICK, "preprocess": True}
# One at a time, in gradio's queue: for what takes seconds.
SLOW = {**PRIVATE, "concurrency_limit": 1}
