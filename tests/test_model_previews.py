"""The pictures in the list of models, through HTTP."""

from __future__ import annotations

import io
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image

from app.web.server import Options, Running, start
from ldm_core.request import TextToImage
from tests.browser import free_port
from tests.tiny import write_model


@pytest.fixture(scope="module", name="running")
def running_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, name="plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_MODELS", str(folder))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        running = start(Options(outputs=str(tmp_path_factory.mktemp("outputs"))), free_port())
        yield running
        running.close()


def got(running: Running, name: str) -> httpx.Response:
    return httpx.get(f"{running.address}/model-preview/{name}", timeout=60)


def test_letters_then_what_was_made_then_what_lies_beside(running: Running) -> None:
    first = got(running, "plain")
    assert first.status_code == 200 and first.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in first.headers["content-security-policy"]
    (made,) = running.studio.make(TextToImage(model="plain", width=64, height=64, steps=1))
    assert made.path is not None
    second = got(running, "plain")
    with Image.open(io.BytesIO(second.content)) as small, Image.open(made.path) as large:
        assert small.format == "WEBP" and small.size == large.size
    entry = running.studio.models.entry("plain")
    place = entry.path / "preview.png" if entry.path.is_dir() else entry.path.with_suffix(".preview.png")
    Image.new("RGB", (900, 600), "red").save(place)
    with Image.open(io.BytesIO(got(running, "plain").content)) as beside:
        assert beside.size == (256, 171)
        assert max(abs(a - b) for a, b in zip(beside.convert("RGB").getpixel((9, 9)), (255, 0, 0))) < 12


def test_what_is_no_picture_and_no_model(running: Running) -> None:
    entry = running.studio.models.entry("plain")
    place = entry.path / "preview.png" if entry.path.is_dir() else entry.path.with_suffix(".preview.png")
    place.write_bytes(b"no picture")
    assert got(running, "plain").headers["content-type"] == "image/webp"  # what was made with it
    place.unlink()
    for name in ("none", "..%2F..%2Fetc%2Fpasswd", "%3Cscript%3E"):
        assert got(running, name).status_code == 404
