"""Serves the page: finds a port, launches gradio, then wakes the engine behind it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.keeping.places import data_folder, open_models, outputs_folder
from app.web.guard import LOOPBACK, Guard
from ldm_core.errors import AtelierError, FileError

if TYPE_CHECKING:
    import gradio as gr
    from starlette.requests import Request

    from app.keeping.history import History
    from app.keeping.presets import Presets
    from app.prompts.history import PromptHistory
    from app.studio.jobs import Studio

FIRST_PORT = 7860
TRIED_PORTS = 20
UPLOAD = "450mb"
ANY = ("0.0.0.0", "::")  # hosts that stand for all of this computer's addresses
PAGES = 500  # that can be open at a time: each holds one of gradio's places


@dataclass(frozen=True, slots=True)
class Options:
    """How to serve."""

    host: str = "127.0.0.1"
    port: int | None = None  # None: the first free one from 7860 on
    browser: bool = True
    models: tuple[str, ...] = ()
    outputs: str | None = None
    device: str | None = None
    share: bool = False  # by a public link
    password: str | None = None  # of those who may enter; None: one is made where others can reach the page

    @property
    def is_private(self) -> bool:
        """Whether only programs on this computer reach the page, so that whoever sees it is the owner."""
        return self.host in LOOPBACK and not self.share


@dataclass(frozen=True, slots=True)
class Running:
    """A page that is served.  `owner` is the secret that makes a browser the owner's, where others come."""

    address: str
    studio: Studio
    blocks: gr.Blocks
    password: str | None
    owner: str | None = None

    def link(self, address: str) -> str:
        """The owner's own way in by an address of the page."""
        return address if self.owner is None else f"{address}/?owner={self.owner}"

    def close(self) -> None:
        """Stops all jobs and the server."""
        self.studio.close()
        self.blocks.close(verbose=False)


def serve(options: Options) -> int:
    """Runs the program until it is interrupted; returns the exit status."""
    try:
        port = choose_port(options.host, options.port)
    except AtelierError as error:
        print(error, file=sys.stderr)
        return 1
    # Read by gradio when it is imported: no traffic to other hosts, a cache of its own that goes at the end.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    cache = Path(tempfile.mkdtemp(prefix="latent-atelier-"))
    os.environ["GRADIO_TEMP_DIR"] = str(cache)
    ended = threading.Event()
    status = 0

    def end(number: int, _frame: object) -> None:
        nonlocal status
        status = 128 + number
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        running = start(options, port)
        print(f"Latent Atelier is at {running.address}  (Ctrl+C ends it)", flush=True)
        if running.password is not None:
            print(f"Others can reach it. The password is  {running.password}", flush=True)
        own = running.link(f"http://127.0.0.1:{port}" if options.host in ANY else running.address)
        if running.owner is not None:
            print(f"Your own way in, for you alone:  {own}", flush=True)
        if options.share:
            threading.Thread(target=_share, args=[running, port], daemon=True).start()
        if options.browser:
            threading.Thread(target=webbrowser.open, args=[own], daemon=True).start()
        ended.wait()
        print("Ending.", flush=True)
        running.close()
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    return status


def start(options: Options, port: int) -> Running:
    """Serves the page and, once it is up, wakes the engine; returns at once."""
    from starlette.middleware import Middleware

    from app.keeping.library import OWNER, Library
    from app.keeping.shelf import Shelf
    from app.studio.jobs import Studio
    from app.web import page
    from app.web.door import Door, made_password
    from app.web.history import HistoryRoutes
    from app.web.people import People, owner_secret
    from app.web.prompting import PromptingRoutes
    from app.web.seen import seen_route
    from app.web.theme import make_theme
    from app.widgets import canvas
    from app.widgets.scripts import serve_scripts

    library = Library(outputs_folder(options.outputs))
    models = open_models(options.models, wait=False)
    shelf = Shelf(models) if options.is_private else None
    history = _open_history(library.folder)
    presets, prompts = _owners() if options.is_private else (None, None)
    studio = Studio(
        models,
        library,
        options.device,
        shelf,
        has_guests=not options.is_private,
        history=history,
        presets=presets,
        prompts=prompts,
    )
    blocks = page.build_page(studio)
    blocks.queue(max_size=64, default_concurrency_limit=8)
    password = options.password or (None if options.is_private else made_password())
    owner = None if options.is_private else owner_secret(data_folder())
    middleware = [
        Middleware(Guard, hosts=LOOPBACK if options.is_private else ()),
        Middleware(People, secret=owner),
    ]
    if password is not None:
        middleware.append(Middleware(Door, password=password, known=OWNER if owner else None))
    routes = [canvas.serve_files(), serve_scripts(), PromptingRoutes(studio).mount(), seen_route(studio)]
    if history is not None:

        def whose(request: Request) -> str:
            return str(request.scope["person"])

        served = HistoryRoutes(history, whose, studio.model_hash, is_private=options.is_private)
        routes.append(served.mount())
    blocks.launch(
        server_name=options.host,
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        theme=make_theme(),
        head=page.head(owner=options.is_private),
        footer_links=[],
        show_error=False,
        enable_monitoring=False,
        run_history=False,
        strict_cors=True,
        max_file_size=UPLOAD,
        ssr_mode=False,
        allowed_paths=[],
        max_threads=PAGES,
        app_kwargs={"middleware": middleware, "routes": routes},
    )
    if history is not None:
        threading.Thread(target=history.start, name="history", daemon=True).start()

    def wake() -> None:
        studio.warm_up()
        studio.hash_models()

    threading.Thread(target=wake, name="warm-up", daemon=True).start()
    if studio.has_guests:
        threading.Thread(target=studio.watch_guests, name="guests", daemon=True).start()
    return Running(f"http://{options.host}:{port}", studio, blocks, password, owner)


def _owners() -> tuple[Presets | None, PromptHistory | None]:
    """The owner's settings and last prompts; none, and a word about it, where they cannot be kept."""
    from app.keeping.presets import Presets
    from app.prompts.history import PromptHistory

    folder = data_folder()
    try:
        return Presets(folder / "presets.sqlite"), PromptHistory(folder / "prompts.sqlite")
    except FileError as error:
        print(f"Presets and last prompts are not kept: {error}", file=sys.stderr)
        return None, None


def _open_history(folder: Path) -> History | None:
    """The history of a folder's pictures; None, and a word about it, where it cannot be kept."""
    from app.keeping.history import History

    try:
        history = History(folder)
    except FileError as error:
        print(f"There is no history of pictures: {error}", flush=True)
        return None
    if history.notice:
        print(history.notice, flush=True)
    return history


def _share(running: Running, port: int) -> None:
    """Prints a public link to the page, by gradio's service."""
    from gradio import networking

    try:
        # Gradio's own way, `launch(share=True)`, makes the page load its files from another host.
        link = networking.setup_tunnel("127.0.0.1", port, secrets.token_urlsafe(32), None, None)
    except Exception as error:  # whatever goes wrong there, the page here goes on
        print(f"No public link could be made; the page here goes on. The reason: {error}", flush=True)
    else:
        print(f"The public link is {link}  (for a week at most, while this runs)", flush=True)
        print(f"Your own way in by it, for you alone:  {running.link(link)}", flush=True)


def choose_port(host: str, wanted: int | None) -> int:
    """A port that nothing listens on: the wanted one, else the first free one from 7860 on.

    Raises:
        FileError: the wanted port, or every port tried, is in use.
    """
    for port in [wanted] if wanted else range(FIRST_PORT, FIRST_PORT + TRIED_PORTS):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
            if os.name != "nt":  # there it would allow a port in use
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
        if wanted is None and port != FIRST_PORT:
            print(f"Port {FIRST_PORT} is in use (perhaps Latent Atelier runs already); using {port}.")
        return port
    asked = wanted or f"{FIRST_PORT} to {FIRST_PORT + TRIED_PORTS - 1}"
    raise FileError(f"Port {asked} on {host} cannot be used: another program has it. Choose one with --port.")
