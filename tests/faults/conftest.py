"""The program as others reach it through a proxy, who asks it, and the picture that no fault changes."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from app.web.people import COOKIE
from app.web.server import Options, Running, start
from ldm_core.request import TextToImage
from tests.browser import WAIT, free_port
from tests.tiny import EVERYTHING, write_model

PASSWORD = "nobody guesses this one"
SMALL: dict[str, object] = {
    "task": "text-to-image", "prompt": "snow", "width": 64, "height": 64, "steps": 3, "seed": 5,
}  # fmt: skip
LONG = {**SMALL, "steps": 250, "batch_size": 4}


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended: "complete", "error", or a status in words."""

    kind: str
    data: object

    @property
    def text(self) -> str:
        return json.dumps(self.data)


class Asking:
    """Somebody who asks the program over HTTP."""

    def __init__(self, address: str, headers: dict[str, str], cookies: dict[str, str]) -> None:
        self.web = httpx.Client(base_url=address, headers=headers, cookies=cookies, timeout=300)

    def post(self, path: str, body: object) -> httpx.Response:
        return self.web.post(f"/gradio_api/{path}", json=body)

    def begin(self, request: object, **more: object) -> str:
        """The event of a call."""
        answer = self.post("call/generate", {"data": [request], **more})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["event_id"])

    def end(self, event: str) -> Answer:
        """Waits for the end of a call."""
        with self.web.stream("GET", f"/gradio_api/call/generate/{event}") as stream:
            kind = ""
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    kind = line[7:]
                elif line.startswith("data: ") and kind in ("complete", "error"):
                    return Answer(kind, json.loads(line[6:]))
        return Answer("cut", None)

    def call(self, request: object, **more: object) -> Answer:
        """A call to its end; a refusal is its status and sentence."""
        answer = self.post("call/generate", {"data": [request], **more})
        if answer.status_code != 200:
            return Answer(str(answer.status_code), answer.json())
        return self.end(str(answer.json()["event_id"]))

    def cancel(self, event: str) -> httpx.Response:
        return self.post("cancel", {"session_hash": event, "fn_index": 0, "event_id": event})

    def upload(self, name: str, data: bytes) -> httpx.Response:
        return self.web.post("/gradio_api/upload", files={"files": (name, data)})


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, spec=EVERYTHING)
    write_model(folder, name="other", seed=1, spec=EVERYTHING)
    return folder


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Running]:
    """Behind a proxy on this computer, whose X-Forwarded-For it trusts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("ATELIER_DATA", str(tmp_path_factory.mktemp("data")))
        patch.setenv("ATELIER_MODELS", str(models))
        outputs = str(tmp_path_factory.mktemp("outputs"))
        options = Options(
            outputs=outputs, password=PASSWORD, proxies=("127.0.0.1",), hosts=("atelier.example",)
        )
        served = start(options, free_port())
        assert served.studio._ready.wait(WAIT / 1000)
        yield served
        served.close()


@pytest.fixture(scope="session")
def guest(program: Running) -> Callable[[int], Asking]:
    """A guest, each number from an address of its own."""

    def guest(number: int = 0) -> Asking:
        headers = {
            "Authorization": f"Bearer {PASSWORD}",
            "X-Forwarded-For": f"10.9.{number // 250}.{number % 250}",
        }
        return Asking(program.address, headers, {COOKIE: f"guest {number}"})

    return guest


@pytest.fixture(scope="session")
def owner(program: Running) -> Asking:
    assert program.owner is not None
    return Asking(program.address, {}, {COOKIE: program.owner})


@pytest.fixture(scope="session")
def stranger(program: Running) -> Asking:
    return Asking(program.address, {}, {})


def drawn(program: Running) -> bytes:
    """The pixels of a small picture."""
    request = TextToImage(prompt="a lake at sunset", width=64, height=64, steps=3, seed=7)
    (picture,) = program.studio.make(request)
    return np.asarray(Image.open(io.BytesIO(picture.png))).tobytes()


@pytest.fixture(scope="session")
def canary(program: Running) -> bytes:
    return drawn(program)


@pytest.fixture(autouse=True)
def unharmed(program: Running, canary: bytes) -> Iterator[None]:
    """After each fault the same picture is made, bit for bit, by the same process, without leftovers."""
    yield
    assert drawn(program) == canary
    assert program.studio.engine().figures().waiting == 0


def png(width: int = 64, height: int = 64, mode: str = "RGB") -> bytes:
    """A picture of noise."""
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8), mode).save(file, "PNG")
    return file.getvalue()


def uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def outputs_of(program: Running) -> Path:
    library = program.studio._library
    assert library is not None
    return library.folder


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
