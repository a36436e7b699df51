"""Browsers hear of their files by a name, and are understood by it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gradio.routes import toorjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app.web.paths import Paths


@pytest.fixture
def web(tmp_path: Path) -> TestClient:
    return keeping(str(tmp_path), str(tmp_path / "ab" / "a.png"))


def keeping(folder: str, file: str) -> TestClient:
    """Tells of a file in a folder, and hears of it."""

    async def told(request: Request) -> Response:
        return JSONResponse({"path": file, "text": f"{file} and {file}"})

    async def streamed(request: Request) -> Response:
        return StreamingResponse(iter([f"data: {file}\n\n", "data: x\n\n"]), media_type="text/event-stream")

    async def page(request: Request) -> Response:
        return HTMLResponse(f"<script>config = {toorjson({'path': file})}</script>")

    async def plain(request: Request) -> Response:
        return PlainTextResponse(file)

    async def heard(request: Request) -> Response:
        given = json.loads(await request.body() or b"null")
        same = [request.query_params.get("path") == file, request.scope["path"].endswith(f"file={file}")]
        return JSONResponse({"same": same, "given": given, "is": (given or {}).get("path") == file})

    routes = [
        Route("/told", told, methods=["GET", "HEAD"]),
        Route("/streamed", streamed),
        Route("/page", page),
        Route("/plain", plain),
    ]
    routes += [Route("/heard", heard, methods=["GET", "POST"]), Route("/gradio_api/file={path:path}", heard)]
    app = Paths(Starlette(routes=routes), folder)  # type: ignore[arg-type]
    return TestClient(app)


def test_answers_name_no_folder(web: TestClient, tmp_path: Path) -> None:
    answer = web.get("/told")
    assert answer.json() == {"path": "/kept/ab/a.png", "text": "/kept/ab/a.png and /kept/ab/a.png"}
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert web.get("/streamed").text == "data: /kept/ab/a.png\n\ndata: x\n\n"
    assert web.get("/plain").text == str(tmp_path / "ab/a.png"), "what is no word of gradio's stays"
    assert web.head("/told").status_code == 200


def test_the_name_is_understood_where_a_path_is_given(web: TestClient) -> None:
    assert web.get("/heard", params={"path": "/kept/ab/a.png"}).json()["same"][0]
    assert web.get("/gradio_api/file=/kept/ab/a.png").json()["same"][1]
    body = {"path": "/kept/ab/a.png", "prompt": "/kept/ab/a.png", "n": 2**53}
    answer = web.post("/heard", json=body).json()
    assert answer["is"], "a path is one"
    assert answer["given"]["prompt"] == "/kept/ab/a.png" and answer["given"]["n"] == 2**53, "a prompt is not"
    for broken in (b"{", b'["/kept/', b'{"path": "/kept/x"'):
        with pytest.raises(ValueError):  # passed on as it came
            web.post("/heard", content=broken, headers={"content-type": "application/json"})


def test_paths_of_windows_come_back() -> None:
    file = r"C:\Users\Ann\Temp\gradio\ab\a.png"
    web = keeping(r"C:\Users\Ann\Temp\gradio", file)
    told = web.get("/told").json()["path"]
    assert told == r"/kept\ab\a.png"
    assert web.post("/heard", json={"path": told}).json()["is"]
    assert web.get("/heard", params={"path": told}).json()["same"][0]
    assert web.get(f"/gradio_api/file={told}").json()["same"][1]


@pytest.mark.parametrize("letter", "'&<>ä")
def test_the_page_names_no_folder_either(tmp_path: Path, letter: str) -> None:
    folder = str(tmp_path / f"Ann{letter}s")
    web = keeping(folder, f"{folder}/ab/a.png")
    assert web.get("/page").text == '<script>config = {"path":"/kept/ab/a.png"}</script>'
    assert web.get("/told").json()["path"] == "/kept/ab/a.png"


def test_what_is_nested_too_deeply_passes_as_it_came(web: TestClient) -> None:
    body = b'{"path":"/kept/ab/a.png","d":' + 400 * b"[" + 400 * b"]" + b"}"
    answer = web.post("/heard", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200 and not answer.json()["is"], "its path is of no file"


def test_a_body_in_many_parts_is_one(web: TestClient) -> None:
    body = json.dumps({"path": "/kept/ab/a.png"}).encode()
    parts = (body[i : i + 3] for i in range(0, len(body), 3))
    answer = web.post("/heard", content=parts, headers={"content-type": "application/json"})
    assert answer.json()["is"]
