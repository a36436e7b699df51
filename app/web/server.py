"""Serves the page: finds a port, launches gradio, then wakes the engine behind it."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.keeping import logs
from app.keeping.accounts import SHARED, Accounts, made_password
from app.keeping.places import data_folder, open_models, outputs_folder, shown
from app.keeping.scratch import scratch_folder
from app.web.guard import LOOPBACK, Guard
from ldm_core.errors import AtelierError, FileError

if TYPE_CHECKING:
    import gradio as gr
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from app.keeping.history import History
    from app.keeping.presets import Presets
    from app.prompts.history import PromptHistory
    from app.studio.jobs import Studio

FIRST_PORT = 7860
TRIED_PORTS = 20
EVENTS = 4000  # that gradio holds at a time; `app.studio.limits` says how many of them guests may have
UPLOAD = "450mb"
ANY = ("0.0.0.0", "::")  # hosts that stand for all of this computer's addresses
LOCAL = ("127.0.0.1", "localhost", "::1")
TUNNEL = ".gradio.live"  # the end of every name of gradio's service
PROXIES = ("http_proxy", "https_proxy", "all_proxy")


@dataclass(frozen=True, slots=True)
class Options:
    """How to serve.

    Attributes:
        password: that all guests share; None: one is made where others can reach the page.
        users: accounts that may enter by their own passwords: names, those of owners with `:owner` behind.
        proxies: addresses of proxies in front of the program, which say for whom they ask.
        hosts: names under which the program is reached, beside this computer's own.
    """

    host: str = "127.0.0.1"
    port: int | None = None  # None: the first free one from 7860 on
    browser: bool = True
    models: tuple[str, ...] = ()
    outputs: str | None = None
    device: str | None = None
    share: bool = False  # by a public link
    password: str | None = None
    users: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    @property
    def is_private(self) -> bool:
        """Whether only programs on this computer reach the page, so that whoever sees it is the owner."""
        is_local = self.host.strip("[]") in LOCAL
        return is_local and not (self.share or self.proxies or self.hosts or self.users)

    @property
    def address(self) -> str:
        """Where this computer's own browser finds the page, without the port."""
        host = self.host.strip("[]")
        local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"http://[{local}]" if ":" in local else f"http://{local}"

    @property
    def served(self) -> tuple[str, ...]:
        """The names under which the page is served, beside addresses where others can reach it."""
        if self.is_private:
            return LOOPBACK
        own = socket.gethostname().lower()
        return (
            *LOOPBACK,
            own,
            f"{own}.local",
            *map(str.lower, self.hosts),
            *([TUNNEL] if self.share else []),
        )


@dataclass(frozen=True, slots=True)
class Running:
    """A page that is served.

    Attributes:
        passwords: those that were made at this start, by account.
        owner: the secret that makes a browser the owner's, where others come.
    """

    address: str
    studio: Studio
    blocks: gr.Blocks
    passwords: Mapping[str, str]
    owner: str | None = None

    @property
    def password(self) -> str | None:
        """That all guests share, where it was made at this start."""
        return self.passwords.get(SHARED)

    def link(self, address: str) -> str:
        """The owner's own way in by an address of the page."""
        return address if self.owner is None else f"{address}/?owner={self.owner}"

    def close(self) -> None:
        """Stops all jobs and the server; the step under way is finished."""
        self.studio.close()
        self.blocks.close(verbose=False)


def serve(options: Options) -> int:
    """Runs the program until it is interrupted; returns the exit status."""
    try:
        port = choose_port(options.host, options.port)
    except AtelierError as error:
        print(error, file=sys.stderr)
        return 1
    logs.begin(data_folder())
    ended = threading.Event()
    status = 0

    def end(number: int, _frame: object) -> None:
        nonlocal status
        status = 128 + number
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    with scratch_folder() as cache:
        # Read by gradio when it is imported: no traffic to other hosts, a cache that goes at the end.
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ["GRADIO_TEMP_DIR"] = str(cache)
        try:
            running = start(options, port)
        except AtelierError as error:
            print(error, file=sys.stderr)
            return 1
        _tell(options, running)
        if options.share:
            threading.Thread(target=_share, args=[running, port], daemon=True).start()
        if options.browser:
            own = running.link(running.address)
            threading.Thread(target=webbrowser.open, args=[own], daemon=True).start()
        ended.wait()
        print("Ending.", flush=True)
        running.close()
    return status


def _tell(options: Options, running: Running) -> None:
    """Says where the page is and how one enters.  What lets somebody in goes to a person, never to a log."""
    print(f"Latent Atelier is at {running.address}  (Ctrl+C ends it)", flush=True)
    if options.is_private:
        return
    if options.host.strip("[]") in ANY:
        print(
            f"Others reach it by this computer's name or address, port {running.address.rpartition(':')[2]}."
        )
    secrets_ = [
        f"The password of {repr(name) if name else 'guests'} is  {password}"
        for name, password in running.passwords.items()
    ]
    secrets_.append(f"Your own way in, for you alone:  {running.link(running.address)}")
    if sys.stdout.isatty():
        print("\n".join(secrets_), flush=True)
        return
    file = data_folder() / "ways-in.txt"
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        out.write("\n".join(secrets_) + "\n")
    print(f"How to enter is in {shown(file)}, which only you can read.", flush=True)


@contextmanager
def _without_proxies() -> Iterator[None]:
    """Gradio asks its own server whether it is up; a proxy of the network that this computer is in cannot."""
    kept = {name: value for name, value in os.environ.items() if name.lower() in PROXIES}
    for name in kept:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(kept)


def start(options: Options, port: int) -> Running:
    """Serves the page and, once it is up, wakes the engine; returns at once.

    Raises:
        AtelierError: it cannot, as options say what cannot be.
    """
    with _without_proxies():
        return _start(options, port)


def _start(options: Options, port: int) -> Running:
    from gradio import processing_utils

    from app.keeping.library import Library
    from app.keeping.shelf import Shelf
    from app.studio.jobs import Studio
    from app.web import page, sessions
    from app.web.people import owner_secret
    from app.web.theme import make_theme

    os.environ["FORWARDED_ALLOW_IPS"] = ",".join(options.proxies)  # read by uvicorn
    # Whoever knows a file's path gets the file, so paths must not follow from what is in them.
    processing_utils.hash_seed = secrets.token_bytes(32)
    sessions.keep_little()
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
    blocks.queue(max_size=None, default_concurrency_limit=8)
    owner = None if options.is_private else owner_secret(data_folder())
    accounts, passwords = (None, {}) if options.is_private else _accounts(options)
    blocks.launch(
        server_name=f"[{host}]" if ":" in (host := options.host.strip("[]")) else host,
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
        max_threads=EVENTS,
        state_session_capacity=sessions.KEPT,
        app_kwargs={
            "middleware": _middleware(options, studio, blocks, owner, accounts),
            "routes": _routes(options, studio, history),
        },
    )
    _wake(studio, history)
    return Running(f"{options.address}:{port}", studio, blocks, passwords, owner)


def _middleware(
    options: Options, studio: Studio, blocks: gr.Blocks, owner: str | None, accounts: Accounts | None
) -> list[Middleware]:
    """What every request passes: may it come, who asks, may they enter, may they have that."""
    from gradio.utils import get_upload_folder
    from starlette.middleware import Middleware

    from app.web.door import Door
    from app.web.events import Events
    from app.web.paths import Paths
    from app.web.people import People

    passed = [
        Middleware(Guard, options.served, is_private=options.is_private, proxies=options.proxies),
        Middleware(People, secret=owner, limits=studio.limits),
    ]
    if accounts is not None:
        passed.append(Middleware(Door, accounts=accounts, key=owner or ""))
    passed.append(Middleware(Paths, folder=get_upload_folder()))
    passed.append(Middleware(Events, blocks=blocks, limits=studio.limits, presence=studio.presence))
    return passed


def _routes(options: Options, studio: Studio, history: History | None) -> list[BaseRoute]:
    """Our own routes; they come before gradio's."""
    from app.web.history import HistoryRoutes
    from app.web.previews import previews_route
    from app.web.prompting import PromptingRoutes
    from app.web.seen import seen_route
    from app.web.status import status_routes
    from app.web.uploading import Uploading
    from app.widgets import canvas
    from app.widgets.scripts import serve_scripts

    routes: list[BaseRoute] = [
        *status_routes(studio),
        Uploading(studio.limits).route(),
        canvas.serve_files(),
        serve_scripts(),
        PromptingRoutes(studio).mount(),
        seen_route(studio),
        previews_route(studio, history),
    ]
    if history is not None:

        def whose(request: Request) -> str:
            return str(request.scope["person"])

        served = HistoryRoutes(history, whose, studio.model_hash, is_private=options.is_private)
        routes.append(served.mount())
    return routes


def _accounts(options: Options) -> tuple[Accounts, dict[str, str]]:
    """Who may enter, and the passwords that were made for this.

    Raises:
        FileError: a name cannot be used, or they cannot be kept.
    """
    accounts, made = Accounts(data_folder()), {}
    if options.password is not None or not options.users:
        made[SHARED] = options.password or made_password()
        accounts.put(SHARED, made[SHARED])
    else:
        accounts.remove(SHARED)
    for user in options.users:
        name, _, rights = user.partition(":")
        if rights not in ("", "guest", "owner"):
            raise FileError(f"--user {user}: behind the name there can be :owner or :guest.")
        known = accounts.find(name)
        if known is None or (rights and known.is_owner != (rights == "owner")):
            made[name] = made_password()
            accounts.put(name, made[name], is_owner=rights == "owner")
    if options.password is not None:
        del made[SHARED]
    return accounts, made


def _wake(studio: Studio, history: History | None) -> None:
    """Begins what goes on beside the page."""
    if history is not None:
        threading.Thread(target=history.start, name="history", daemon=True).start()

    def wake() -> None:
        studio.warm_up()
        studio.hash_models()

    threading.Thread(target=wake, name="warm-up", daemon=True).start()
    if studio.has_guests:
        threading.Thread(target=studio.watch_guests, name="guests", daemon=True).start()


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
        if sys.stdout.isatty():
            print(f"Your own way in by it, for you alone:  {running.link(link)}", flush=True)


def choose_port(host: str, wanted: int | None) -> int:
    """A port that nothing listens on: the wanted one, else the first free one from 7860 on.

    Raises:
        FileError: the wanted port, or every port tried, is in use.
    """
    for port in [wanted] if wanted else range(FIRST_PORT, FIRST_PORT + TRIED_PORTS):
        with socket.socket(
            socket.AF_INET6 if ":" in (host := host.strip("[]")) else socket.AF_INET, socket.SOCK_STREAM
        ) as probe:
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
