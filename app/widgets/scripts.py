"""The browser's modules: served under an address that holds a hash of them, so that none is ever stale."""

from __future__ import annotations

import functools
import hashlib
import json
import mimetypes
from urllib.parse import quote

from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from ldm_core.bundled import ASSETS

_FOLDERS = ("canvas", "history")  # modules of the one may import those of the other

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


def loading(folder: str, settings: object) -> str:
    """The script that mounts a folder's `index.js` into a component of gradio's."""
    return _LOAD % (quote(json.dumps(settings)), _address(), folder)


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
