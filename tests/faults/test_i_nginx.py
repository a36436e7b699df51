"""The program behind nginx, as a public link has it: what each can reach there."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.web.people import COOKIE
from app.web.server import Running
from tests.browser import free_port
from tests.faults.conftest import PASSWORD, SMALL, Asking, png

# The first as the README says, the second as nginx does where nobody says anything.
HABITS = {
    "told": "proxy_set_header Host $host; proxy_set_header X-Forwarded-Proto https; proxy_buffering off;"
    "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; client_max_body_size 0;",
    "silent": "",
}
CONFIG = """
daemon off; user root; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {address}; {habits} }} }}
}}
"""
HOST = "atelier.example"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")


@pytest.fixture(params=HABITS)
def address(request: pytest.FixtureRequest, program: Running, tmp_path: Path) -> Iterator[str]:
    """Of nginx in front of the program."""
    if NGINX is None:
        pytest.skip("nginx is not installed")
    port = free_port()
    config = tmp_path / "nginx.conf"
    habits = HABITS[request.param]
    config.write_text(CONFIG.format(folder=tmp_path, port=port, address=program.address, habits=habits))
    process = subprocess.Popen([NGINX, "-c", str(config)], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}/health", headers={"host": HOST})
            break
        except httpx.HTTPError:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)


REACHED = {  # of stranger, guest and owner
    "/": (401, 200, 200),
    "/health": (200, 200, 200),
    "/config": (401, 200, 200),
    "/history/state": (401, 200, 200),
    "/metrics": (401, 404, 200),
    "/monitoring": (401, 404, 404),
    "/gradio_api/info": (401, 200, 200),
    "/gradio_api/file=/etc/passwd": (401, 403, 403),
    "/gradio_api/call/generate/of-somebody-else": (401, 404, 404),
}


def test_what_each_reaches(program: Running, address: str) -> None:
    host = {"host": HOST, "origin": f"https://{HOST}"}
    stranger = Asking(address, host, {})
    guest = Asking(address, {**host, "authorization": f"Bearer {PASSWORD}"}, {COOKIE: "a guest behind nginx"})
    owner = Asking(address, host, {COOKIE: str(program.owner)})
    for path, expected in REACHED.items():
        got = tuple(one.web.get(path).status_code for one in (stranger, guest, owner))
        print(f"{path:45} {got}")
        assert got == expected, path
    for one in (guest, owner):
        assert one.call(SMALL).kind == "complete"
        assert one.upload("a.png", png()).status_code == 200
        event = one.begin({**SMALL, "steps": 250})
        assert one.cancel(event).status_code == 200
    assert stranger.upload("a.png", png()).status_code == 401
    assert stranger.web.get("/", headers={"host": "evil.example"}).status_code in (401, 403)
    evil = {"origin": "https://evil.example"}
    assert (
        guest.web.post("/gradio_api/call/generate", json={"data": [SMALL]}, headers=evil).status_code == 403
    )
    link = owner.web.get(f"/?owner={program.owner}")
    assert link.status_code == 303 and link.headers["location"] == "/"
