"""Files from the web onto the disk: resumed where they stopped, checked before they count.

Every address that a server leads to is looked at before it is asked: the hub's own, else an encrypted one of
the public internet, so that no answer can make this program talk to machines behind the person's router.
"""

from __future__ import annotations

import errno
import hashlib
import ipaddress
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from ldm_core.errors import FetchError, FetchStopped
from ldm_core.wording import shown, size_text

MAX_REDIRECTS = 5
_MAX_ANSWER = 20_000_000  # bytes
TRIES = 5  # in a row that brought next to nothing
NOTHING = 30_000  # bytes; a try that brings less did not help
PAUSE = 1.0  # seconds before the second try, twice as many before each further one
SILENCE = 30.0  # seconds without a byte, then the connection counts as broken
SLOWEST = 1000  # bytes a second over SILENCE
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

OnBytes = Callable[[int], None]  # is told how many bytes of the file are there


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository.

    Attributes:
        path: below the repository, with "/".
        sha256: of its content, empty for small files.
        blob: git's name of its content, which small files are checked by.
        address: its path on the host; empty where the hub's rule gives it.
    """

    path: str
    size: int
    sha256: str
    blob: str
    address: str = ""


class Web:
    """Asks one hub, and whom it leads to.

    Args:
        endpoint: the hub's address, such as "https://huggingface.co".
        token: shown to the hub alone.
        stop: set to end everything that waits.
    """

    def __init__(self, endpoint: str, token: str = "", stop: threading.Event | None = None) -> None:
        self.endpoint = httpx.URL(endpoint.rstrip("/"))
        self.stop = stop or threading.Event()
        self._token = token
        timeout = httpx.Timeout(10.0, read=SILENCE)
        self._client = httpx.Client(timeout=timeout, headers={"User-Agent": "latent-atelier"})

    def __enter__(self) -> Web:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    @contextmanager
    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Iterator[httpx.Response]:
        """The answer to a path of the hub, its body unread; leads are followed.

        Raises:
            FetchError: the leads go in circles or to an address that is not asked.
            httpx.HTTPError: the network failed.
        """
        url = self.endpoint.join(path)
        for _ in range(MAX_REDIRECTS + 1):
            self._require_allowed(url)
            secret = {"Authorization": f"Bearer {self._token}"} if self._token and self._is_hub(url) else {}
            with self._client.stream("GET", url, headers={**(headers or {}), **secret}) as response:
                if response.status_code not in _REDIRECTS:
                    yield response
                    return
                url = url.join(response.headers.get("location", ""))
        raise FetchError(
            f"{self.endpoint.host} leads from one address to the next without end; try again later."
        )

    def retried(self, action: Callable[[], None], progress: Callable[[], int]) -> None:
        """Does something until it works: again after faults of the network or the server.

        Args:
            progress: bytes reached so far; once they grew well, the tries count anew.

        Raises:
            FetchError: it failed too often in a row, or was stopped.
        """
        failed, reached = 0, progress()
        while True:
            if self.stop.is_set():
                raise FetchStopped("Stopped. What has come so far is kept, and a new try goes on from there.")
            try:
                action()
                return
            except httpx.HTTPError as error:
                failed = 1 if progress() - reached >= NOTHING else failed + 1
                reached = progress()
                if failed >= TRIES:
                    raise FetchError(_network(self.endpoint.host, error)) from None
                self.stop.wait(PAUSE * 2 ** (failed - 1))

    def _is_hub(self, url: httpx.URL) -> bool:
        return (url.scheme, url.host, url.port) == (
            self.endpoint.scheme,
            self.endpoint.host,
            self.endpoint.port,
        )

    def _require_allowed(self, url: httpx.URL) -> None:
        if self._is_hub(url):
            return
        refused = FetchError(f"{self.endpoint.host} leads to {shown(url.host or '?')}, which is not asked.")
        if url.scheme != "https":
            raise refused
        try:
            found = socket.getaddrinfo(url.host, url.port or 443, type=socket.SOCK_STREAM)
        except OSError:
            return  # connecting fails as well, or a proxy knows the name
        if not all(ipaddress.ip_address(address[4][0]).is_global for address in found):
            raise refused


def download(web: Web, path: str, file: RemoteFile, target: Path, on_bytes: OnBytes) -> None:
    """Puts a file at `target`; goes on from `target.part` where an earlier try left one.

    Args:
        path: below the hub's address.
        on_bytes: is told how much of it there is, a few times a second.

    Raises:
        FetchError: it cannot be had, is not what the hub announced, or the disk is full.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if part.exists() and part.stat().st_size > file.size:
            part.unlink()
        web.retried(lambda: _continue(web, path, file, part, on_bytes), lambda: _size(part))
        if not _is_right(part, file, web.stop):
            part.unlink()
            raise FetchError(
                f"{file.path} is not what {web.endpoint.host} announced (its hash differs) and was removed; "
                "try again."
            )
        with open(part, "rb") as written:
            os.fsync(written.fileno())
        os.replace(part, target)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full; make room, and a new try goes on from here" if full else error.strerror
        raise FetchError(f"{file.path} cannot be written: {reason}.") from None


def _continue(web: Web, path: str, file: RemoteFile, part: Path, on_bytes: OnBytes) -> None:
    """Asks for what is missing and appends it.

    Raises:
        httpx.HTTPError: the connection broke; another try may go on.
    """
    there = _size(part)
    if there == file.size and (there or part.exists()):
        return
    headers = {"Range": f"bytes={there}-"} if there else {}
    # Bytes that are packed for the way could not be counted.
    with web.get(path, {**headers, "Accept-Encoding": "identity"}) as response:
        if response.status_code == 416:  # what is there is of another file
            part.unlink(missing_ok=True)
            raise httpx.RemoteProtocolError("the file has changed")
        require_success(response, file.path)
        continued = response.status_code == 206 and _starts_at(response, there)
        there = there if continued else 0
        with open(part, "ab" if continued else "wb") as out:
            began, reported, first = time.monotonic(), 0.0, there
            for block in response.iter_raw():
                there += len(block)
                if there > file.size:
                    raise FetchError(
                        f"{file.path} is longer than announced, so it is not kept; try again later."
                    )
                out.write(block)
                now = time.monotonic()
                if now - reported > 0.2:
                    on_bytes(there)
                    reported = now
                if web.stop.is_set():
                    raise FetchStopped(
                        "Stopped. What has come so far is kept, and a new try goes on from there."
                    )
                if now - began > SILENCE:
                    if there - first < SLOWEST * SILENCE:
                        raise httpx.ReadTimeout("hardly anything comes")
                    began, first = now, there
        on_bytes(there)
    if there < file.size:
        raise httpx.RemoteProtocolError("the connection ended early")


def require_success(response: httpx.Response, what: str) -> None:
    """Nothing for an answer with content.

    Raises:
        FetchError: a refusal that another try would not change.
        httpx.HTTPStatusError: the server has a fault of its own.
    """
    status, host = response.status_code, response.url.host
    code = response.headers.get("x-error-code", "")
    if status < 300:
        return
    if status >= 500 or status == 408:
        raise httpx.HTTPStatusError(str(status), request=response.request, response=response)
    if status == 429:
        wait = response.headers.get("retry-after", "")
        when = f"in {wait} seconds" if wait.isdecimal() and len(wait) < 6 else "in some minutes"
        raise FetchError(f"{host} has answered too often in a short time; try again {when}.")
    if code == "GatedRepo" or status == 403:
        raise FetchError(
            f"{what} is given only to people who agreed to its terms: agree on its page on {host}, "
            "set HF_TOKEN to a token of your account, and try again."
        )
    if status in (401, 404, 410):
        raise FetchError(f"There is no {what} on {host}, or it is private; check its name.")
    raise FetchError(f"{host} refused {what} ({status}).")


def _starts_at(response: httpx.Response, offset: int) -> bool:
    return str(response.headers.get("content-range", "")).startswith(f"bytes {offset}-")


def _is_right(part: Path, file: RemoteFile, stop: threading.Event) -> bool:
    """Whether the content is the announced one, by SHA-256 or by git's SHA-1 of small files."""
    digest = (
        hashlib.sha256()
        if file.sha256
        else hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)
    )
    with open(part, "rb") as written:
        while block := written.read(1 << 20):
            digest.update(block)
            if stop.is_set():
                raise FetchStopped("Stopped. What has come so far is kept, and a new try goes on from there.")
    return digest.hexdigest() == (file.sha256 or file.blob)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _network(host: str, error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return f"{host} cannot be reached; check the network connection. Models that are here need none."
    if isinstance(error, httpx.HTTPStatusError):
        return f"{host} has a fault of its own ({error.response.status_code}); try again later."
    return f"The connection to {host} broke off again and again; a new try goes on where it stopped."


def require_room(folder: Path, num_bytes: int) -> None:
    """Nothing where a folder's disk has room for so many bytes and some more.

    Raises:
        FetchError: it has not, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise FetchError(f"The folder {shown(folder.name)} cannot be written: {error.strerror}.") from None
    if free < num_bytes + 2**26:
        raise FetchError(
            f"The disk has {size_text(free)} free, but {size_text(num_bytes)} are to come; make room first."
        )


def ask(web: Web, path: str, what: str) -> dict[str, object]:
    """The JSON object that a host answers with.

    Raises:
        FetchError: it has no such thing, cannot be asked, or answers otherwise.
    """
    answers: list[bytes] = []

    def once() -> None:
        with web.get(path) as response:
            require_success(response, what)
            data = b""
            for block in response.iter_bytes():
                data += block
                if len(data) > _MAX_ANSWER:
                    raise FetchError(f"The answer on {what} is far too long; try again later.")
            answers.append(data)

    web.retried(once, lambda: 0)
    try:
        answer = json.loads(answers[0])
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise FetchError(
            f"The answer of {web.endpoint.host} on {what} is not what a hub says; try again later."
        )
    return answer
