"""Browsers hear of their files by a name, and are understood by it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app.web.paths import Paths


@pytest.fixture
def web(tmp_path: Path) -> TestClient:
    file = str(tmp_path / "ab" / "a.png")

    async def told(request: Request) -> Response:
        return JSONResponse({"path": file, "text": f"{file} and {file}"})

    async def streamed(request: Request) -> Response:
        return StreamingResponse(iter([f"data: {file}\n\n", "data: x\n\n"]), media_type="text/event-stream")

    async def plain(request: Request) -> Response:
        return PlainTextResponse(file)

    async def heard(request: Request) -> Response:
        given = json.loads(await request.body() or b"null")
        same = [request.query_params.get("path") == file, request.url.path.endswith(f"file={file}")]
        return JSONResponse({"same": same, "given": given, "is": (given or {}).get("path") == file})

    routes = [
        Route("/told", told, methods=["GET", "HEAD"]),
        Route("/streamed", streamed),
        Route("/plain", plain),
    ]
    routes += [Route("/heard", heard, methods=["GET", "POST"]), Route("/gradio_api/file={path:path}", heard)]
    app = Paths(Starlette(routes=routes), str(tmp_path))  # type: ignore[arg-type]
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
