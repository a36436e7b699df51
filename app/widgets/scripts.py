"""The browser's side: components that a script of ours draws, and the files that are served for them.

Their address holds a hash of them, so that none is ever stale.
"""

from __future__ import annotations

import functools
import hashlib
import json
import mimetypes
from collections.abc import Callable, Sequence
from typing import ClassVar
from urllib.parse import quote

import gradio as gr
import gradio.component_meta
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from ldm_core.bundled import ASSETS

# Gradio writes a .pyi file beside every module that defines a component, at the moment of its definition.
gradio.component_meta.create_or_modify_pyi = lambda *_: None

_FOLDERS = ("canvas", "examples", "history")  # modules of the one may import those of the other

# Gradio runs this with `element`, `props`, `trigger` and `watch`.
_LOAD = """
const settings = JSON.parse(decodeURIComponent("%s"));
import(new URL("%s/%s/index.js", document.baseURI).href)
  .then(({ mount }) => mount({ element, props, trigger, watch, settings }))
  .catch((error) => {
    element.textContent = "This could not be loaded. Reload the page.";
    console.error(error);
  });
"""


class Scripted(gr.HTML):
    """A component that a script of ours draws from its value; it may ask `server_functions`.

    Attributes:
        script: the file in assets; another one comes from `code`.
        empty: the value where none is given.
        classes: in CSS.
    """

    script: ClassVar[str] = ""
    empty: ClassVar[object] = None
    classes: ClassVar[Sequence[str]] = ()

    def __init__(
        self,
        *,
        elem_id: str,
        label: str | None = None,
        value: object = None,
        visible: bool = True,
        render: bool = True,
        server_functions: Sequence[Callable[..., object]] = (),
    ) -> None:
        super().__init__(
            value=self.empty if value is None else value,
            html_template="",
            js_on_load=self.code(),
            apply_default_css=False,
            label=label,
            elem_id=elem_id,
            elem_classes=list(self.classes),
            visible=visible,
            render=render,
            server_functions=list(server_functions),
        )

    def code(self) -> str:
        """JavaScript that gradio runs with `element`, `props`, `trigger` and `watch`."""
        return (ASSETS / self.script).read_text(encoding="utf-8")


def loading(folder: str, settings: object) -> str:
    """The script that mounts a folder's `index.js` into a component of gradio's."""
    return _LOAD % (quote(json.dumps(settings)), _address(), folder)


def served(folder: str) -> str:
    """Where browsers find a folder's files, relative to the page."""
    return f"{_address()}/{folder}"


def serve_scripts() -> Mount:
    """The routes under which browsers find the modules."""
    mimetypes.add_type("text/javascript", ".js")  # on some computers it is registered as plain text
    routes = [Mount(f"/{name}", StaticFiles(directory=ASSETS / name)) for name in _FOLDERS]
    return Mount(f"/{_address()}", routes=routes)


@functools.cache
def _address() -> str:
    digest = hashlib.sha256()
    for name in _FOLDERS:
        for path in sorted((ASSETS / name).iterdir()):
            digest.update(path.read_bytes())
    return f"scripts/{digest.hexdigest()[:12]}"
