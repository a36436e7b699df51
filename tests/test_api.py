"""What programs ask of a running page, by gradio's client and without."""

from __future__ import annotations

import base64
import io
import json
import re
import runpy
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from app.keeping.metadata import read_settings
from app.web.server import Running
from ldm_core.request import ImageToImage
from tests import tiny
from tests.browser import WAIT, free_port

pytest_plugins = ["tests.browser"]
ROOT = Path(__file__).resolve().parent.parent
SMALL: dict[str, object] = {"prompt": "snow", "width": 64, "height": 64, "steps": 3, "seed": 5}


def call_api(address: str, endpoint: str, request: object) -> str:
    """The last event that an endpoint of the page at an address answers."""
    body = json.dumps({"data": [request]}).encode()
    headers = {"Content-Type": "application/json"}
    address = f"{address}/gradio_api/call/{endpoint}"
    with urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=60) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{address}/{event}", timeout=60) as answer:
        return str(answer.read().decode())


@pytest.fixture(scope="module")
def client(running: Running) -> Client:
    assert running.studio._ready.wait(WAIT / 1000)
    return Client(running.address, verbose=False)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    return path


def test_programs_get_pictures_too(running: Running) -> None:
    answer = call_api(running.address, "generate", {**SMALL, "task": "text-to-image", "batch_size": 2})
    (made,) = json.loads(answer.split("data: ", 1)[1])
    assert [one["seed"] for one in made["requests"]] == [5, 6]
    with urllib.request.urlopen(made["images"][1]["url"], timeout=20) as found:
        assert read_settings(found.read()).request.seed == 6
    wrong = call_api(running.address, "text_to_image", {**SMALL, "steps": 0})
    assert "steps is 0; it has to be a whole number from 1 to 250" in wrong
    assert "event: error" in wrong


def test_the_example_in_the_readme(running: Running, client: Client, tmp_path: Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    (example,) = (code for code in examples if "gradio_client" in code)
    script = tmp_path / "example.py"
    script.write_text(example.replace("http://127.0.0.1:7860", running.address), "utf-8")
    names = runpy.run_path(str(script))
    lake, snow = names["lake"], names["snow"]
    assert isinstance(lake, dict) and isinstance(snow, dict)
    request = read_settings(Path(snow["images"][0])).request
    assert isinstance(request, ImageToImage) and request.prompt == "a lake in snow"
    given = np.asarray(Image.open(lake["images"][0]).convert("RGB"))
    assert np.array_equal(request.image.pixels, given)


def test_pictures_reach_it_as_uploads_and_uris_but_never_as_paths(client: Client, picture: Path) -> None:
    request = {"prompt": "snow", "steps": 3, "strength": 0.5, "seed": 1}
    uri = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
    uploaded, embedded = (
        client.predict({**request, "image": image}, api_name="/image_to_image")
        for image in (handle_file(picture), uri)
    )
    assert uploaded["requests"] == embedded["requests"]
    assert Path(uploaded["images"][0]).read_bytes() == Path(embedded["images"][0]).read_bytes()
    refused = "image is|no longer at hand|did not reach|not allowed|InvalidPath"
    for path in (str(picture), {"path": str(picture)}, {"path": "/etc/passwd"}, {"url": picture.as_uri()}):
        with pytest.raises(Exception, match=refused):
            client.predict({**request, "image": path}, api_name="/image_to_image")


def test_every_task_has_its_endpoint(client: Client, picture: Path) -> None:
    mask = io.BytesIO()
    Image.fromarray(np.full((64, 64), 255, np.uint8)).save(mask, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(mask.getvalue()).decode()
    made = client.predict(
        {"prompt": "snow", "steps": 2, "image": handle_file(picture), "mask": uri}, api_name="/inpaint"
    )
    assert made["requests"][0]["task"] == "inpaint"
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == {
        "/generate", "/text_to_image", "/image_to_image", "/inpaint", "/outpaint", "/remove",
        "/super_resolution", "/semantic", "/layout", "/class", "/unconditional",
    }  # fmt: skip


NO_NETWORK = """
import sys

def hook(event, arguments):
    if event not in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        return
    host = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
    host = host[0] if isinstance(host, tuple) else host
    if host not in (None, "", "127.0.0.1", "localhost", "::1", "0.0.0.0"):
        print("asked", host, file=sys.stderr, flush=True)
        raise OSError(101, "Network is unreachable")

sys.addaudithook(hook)
from app.commands.cli import main
sys.exit(main(sys.argv[1:]))
"""


def wait_until_served(process: subprocess.Popen[bytes], port: int) -> None:
    began = time.monotonic()
    while True:
        assert process.poll() is None, "it ended before it served"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
                print(f"served after {time.monotonic() - began:.1f} s")
                return
        except OSError:
            assert time.monotonic() - began < 60  # 15 on a computer that does nothing else
            time.sleep(0.05)


def test_it_starts_and_draws_without_a_network(tmp_path: Path) -> None:
    """Nothing outside of this computer is asked, so nothing waits for it either."""
    tiny.write_model(tmp_path / "models")
    port, errors = free_port(), tmp_path / "errors.txt"
    arguments = ["run", "--no-browser", f"--port={port}", f"--models-dir={tmp_path / 'models'}"]
    command = [sys.executable, "-c", NO_NETWORK, *arguments, f"--outputs={tmp_path}", "--device=cpu"]
    with open(errors, "w") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=out)
    try:
        wait_until_served(process, port)
        request = {"task": "text-to-image", "prompt": "snow", "width": 64, "height": 64, "steps": 2}
        answer = call_api(f"http://127.0.0.1:{port}", "generate", request)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert "event: complete" in answer, answer + errors.read_text()
    assert "asked" not in errors.read_text()
