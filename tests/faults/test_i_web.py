"""Section I: strangers and guests.  Each promise of SECURITY.md has its test here or beside."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from gradio.utils import get_upload_folder

from app.studio.limits import GUEST, Allowance
from app.web.door import ENTRY
from app.web.server import Options, Running
from tests.faults.conftest import PASSWORD, SMALL, Asking, outputs_of, png

Guest = Callable[[int], Asking]

CLIMBS = [
    "/etc/passwd",
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "....//....//etc/passwd",
    "%2e%2e/%2e%2e/etc/passwd",
    "/proc/self/environ",
    "/proc/self/cmdline",
    "file:///etc/passwd",
    "C:/Windows/win.ini",
    "~/.ssh/id_rsa",
    "/etc/passwd%00.png",
    "//etc/passwd",
    "/./etc/./passwd",
    "\\\\..\\\\..\\\\etc\\\\passwd",
    "%252e%252e%252fetc%252fpasswd",
    "/kept/../../../etc/passwd",
    "/kept/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/kept//etc/passwd",
]
ROUTES = [
    "/gradio_api/file={}",
    "/gradio_api/file/{}",
    "/file={}",
    "/static/{}",
    "/assets/{}",
    "/theme.css/{}",
    "/gradio_api/custom_component/{}",
    "/history/file/{}",
    "/canvas/shown?kind=picture&path={}",
    "/gradio_api/proxy={}",
    "/svelte/{}",
]


def test_i01_i02_no_path_leads_out_of_what_is_served(guest: Guest, program: Running) -> None:
    asking, tried = guest(1), 0
    link = outputs_of(program) / "link.png"
    link.unlink(missing_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to("/etc/passwd")
    for climb in [
        *CLIMBS,
        str(link),
        str(outputs_of(program)),
        str(outputs_of(program) / ".atelier/queue.sqlite"),
    ]:
        for route in ROUTES:
            answer = asking.web.get(route.format(climb))
            tried += 1
            assert "root:" not in answer.text and b"SQLite" not in answer.content, (route, climb)
            assert answer.status_code < 500, (route, climb, answer.text)
    link.unlink()
    print(f"{tried} requests")


def test_i06_i08_other_sites_cannot_ask(guest: Guest) -> None:
    asking = guest(2)
    for origin in ("https://evil.example", "null", "http://127.0.0.1.evil.example"):
        for path, more in (
            ("/gradio_api/call/generate", {"json": {"data": [SMALL]}}),
            ("/gradio_api/upload", {"files": {"files": ("a.png", png())}}),
            (
                "/gradio_api/call/generate",
                {"content": b'{"data":[{}]}', "headers": {"content-type": "text/plain"}},
            ),
        ):
            headers = {**more.pop("headers", {}), "origin": origin}  # type: ignore[dict-item]
            answer = asking.web.post(path, headers=headers, **more)  # type: ignore[arg-type]
            assert answer.status_code == 403
            assert answer.headers.get("access-control-allow-origin") not in (origin, "*")


def test_i09_nobody_comes_in_without_a_password(stranger: Asking) -> None:
    assert stranger.web.get("/").status_code == 401
    assert not Options(share=True).is_private and not Options(host="0.0.0.0").is_private
    assert not Options(proxies=("127.0.0.1",)).is_private and not Options(users=("anna",)).is_private
    assert Options(host="::1").is_private and Options().is_private


def test_i10_guessing_is_slow(program: Running) -> None:
    """Whatever address a client makes up beside its own."""
    codes = []
    began = time.monotonic()
    for i in range(12):
        headers = {"X-Forwarded-For": f"10.1.1.{i}, 10.77.0.1", "Authorization": f"Bearer guess {i}"}
        codes.append(httpx.get(program.address, headers=headers).status_code)
    assert codes.count(401) == 5 and codes.count(429) == 7, codes
    assert time.monotonic() - began < 30


def test_i11_a_stranger_reaches_the_form_and_nothing_else(program: Running, stranger: Asking) -> None:
    for path in (
        "/config",
        "/gradio_api/info",
        "/gradio_api/openapi.json",
        "/metrics",
        "/history/state",
        "/gradio_api/queue/status",
        "/monitoring",
        "/gradio_api/file=/etc/passwd",
        "/theme.css",
    ):
        answer = stranger.web.get(path)
        assert (answer.status_code, answer.text) == (401, "Enter the password first."), path
    for path in (
        "call/generate",
        "queue/join",
        "upload",
        "cancel",
        "reset",
        "run/predict",
        "component_server",
    ):
        assert stranger.post(path, {}).status_code == 401
    assert stranger.web.get("/health").json() == {"status": "ok"}


def test_i12_a_flood_of_requests_is_answered_with_429_and_others_are_served(
    program: Running, guest: Guest, owner: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Allowance(**{name: getattr(GUEST, name) for name in Allowance.__slots__} | {"requests": 60})
    monkeypatch.setattr(program.studio.limits, "guest", few)
    flooder = guest(40)
    codes = [flooder.web.get("/gradio_api/app_id").status_code for _ in range(40)]
    assert codes.count(200) <= 25 and 429 in codes
    assert flooder.web.get("/gradio_api/app_id").headers["retry-after"]
    assert guest(41).web.get("/gradio_api/app_id").status_code == 200
    assert all(owner.web.get("/gradio_api/app_id").status_code == 200 for _ in range(40))


def begun(asking: Asking, path: str, length: int, body: bytes) -> socket.socket:
    """A connection over which the beginning of a request was sent."""
    host, port = asking.web.base_url.host, asking.web.base_url.port
    connection = socket.create_connection((host, port or 80), timeout=20)
    kept = {**asking.web.headers, "cookie": "; ".join(f"{k}={v}" for k, v in asking.web.cookies.items())}
    fields = {**kept, "host": f"{host}:{port}", "content-length": str(length)}
    fields["content-type"] = "multipart/form-data; boundary=x"
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    return connection


def test_i12_a_body_that_is_too_large_is_refused_before_it_is_read(guest: Guest) -> None:
    asking = guest(3)
    with begun(asking, "/gradio_api/call/generate", 99_999_999, b"x") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
    assert asking.call(SMALL).kind == "complete"


def test_i12_uploads_have_quotas(program: Running, guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    few = Allowance(
        **{name: getattr(GUEST, name) for name in Allowance.__slots__}
        | {"upload_bytes": 60_000, "upload_files": 3}
    )
    monkeypatch.setattr(program.studio.limits, "guest", few)
    asking = guest(4)
    assert asking.upload("a.png", b"a" * 20_000).status_code == 200
    assert asking.upload("b.png", b"b" * 20_000).status_code == 200
    over = asking.upload("c.png", b"c" * 20_001)
    assert over.status_code == 413 and "used up" in over.text
    assert asking.upload("d.png", b"d").status_code == 200
    many = asking.upload("e.png", b"e")
    assert many.status_code == 413 and "3 files" in many.text
    assert guest(5).upload("a.png", b"other").status_code == 200

    def chunks() -> object:
        yield b"x" * 1000

    assert asking.web.post("/gradio_api/upload", content=chunks()).status_code == 411  # type: ignore[arg-type]


def test_i12_nothing_stays_of_an_upload_that_is_cut(program: Running, guest: Guest) -> None:
    from app.widgets.uploads import uploads

    asking = guest(6)
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' + b"a" * 100_000
    with begun(asking, "/gradio_api/upload", 10**7, body):
        time.sleep(0.5)
    deadline = time.monotonic() + 10
    while list(uploads().glob("arriving-*")):
        assert time.monotonic() < deadline, "what had come stays"
        time.sleep(0.05)


def test_i14_another_s_pictures_are_not_there(program: Running, guest: Guest) -> None:
    one, other = guest(7), guest(8)
    made = one.call(SMALL).data[0]  # type: ignore[index]
    state = one.web.get("/history/search").json()
    mine = state["ids"] if isinstance(state, dict) else state
    assert mine
    theirs = other.web.get("/history/search").json()
    assert not set(map(str, mine)) & set(map(str, theirs["ids"] if isinstance(theirs, dict) else theirs))
    assert other.web.get(f"/history/details/{mine[0]}").status_code == 404
    # A file has 256 random bits in its path, which its owner alone is told.
    assert re.search(r"/[0-9a-f]{64}/", made["images"][0]["path"])


def test_i15_what_is_the_owner_s_is_not_there_for_guests(
    program: Running, guest: Guest, owner: Asking
) -> None:
    assert program.studio.shelf is None
    asking = guest(9)
    for path in ("vibe-edit", "vibe-code", "process_recording", "stream/x", "stream/x/close"):
        assert asking.post(path, {}).status_code == 404
    for path in (
        "/gradio_api/deep_link?session_hash=x",
        "/gradio_api/run-history/buckets",
        "/gradio_api/dev/reload",
        "/monitoring",
        "/gradio_api/token",
        "/metrics",
        "/gradio_api/proxy=http://127.0.0.1",
    ):
        assert asking.web.get(path).status_code == 404, path
    text = owner.web.get("/metrics").text
    assert "atelier_steps_total" in text and "atelier_memory_bytes" in text
    assert all(
        line.startswith("#") or re.fullmatch(r'[a-z_]+(\{[a-z]+="\w+"\})? [\d.e+]+', line)
        for line in text.splitlines()
    )


def test_i16_no_address_is_fetched_for_anybody(guest: Guest) -> None:
    asking = guest(10)
    for url in (
        "http://127.0.0.1:1/x.png",
        "http://169.254.169.254/latest",
        "http://[::1]/",
        "file:///etc/passwd",
    ):
        for payload in (
            {"path": url},
            {"url": url},
            {"path": url, "url": url, "meta": {"_type": "gradio.FileData"}},
        ):
            answer = asking.call({**SMALL, "task": "image-to-image", "image": payload})
            assert answer.kind in ("error", "422"), answer
            assert answer.data != {"error": None}
        assert asking.web.get(f"/gradio_api/file={url}").status_code in (400, 403, 404)


def test_i17_nothing_private_is_told(program: Running, guest: Guest) -> None:
    asking = guest(11)
    texts = [
        asking.web.get(path).text for path in ("/config", "/gradio_api/info", "/history/state", "/health")
    ]
    given = asking.upload("a.png", png())
    assert given.json()[0].startswith("/kept/")
    texts += [given.text] + [
        asking.call(request).text
        for request in (
            SMALL,
            {**SMALL, "model": "none"},
            {},
            {**SMALL, "steps": 0},
            {**SMALL, "task": "image-to-image", "image": {"path": given.json()[0]}},
            {**SMALL, "task": "image-to-image", "image": {"path": "/kept/../../etc/passwd"}},
        )
    ]
    assert texts[-2].count("images") == 1, texts[-2]
    told = "\n".join(texts)
    for private in (
        PASSWORD,
        program.owner or "-",
        str(outputs_of(program)),
        str(Path.home()),
        get_upload_folder(),
    ):
        assert private not in told


def test_i20_every_answer_has_its_headers(program: Running, guest: Guest, stranger: Asking) -> None:
    asking = guest(12)
    answers = [
        asking.web.get("/"),
        asking.web.get("/nothing"),
        asking.post("call/nothing", {"data": []}),
        stranger.web.get("/"),
        stranger.web.get("/config"),
        stranger.web.post(ENTRY, data={"password": "x"}),
        asking.web.get("/config", headers={"host": "evil.example"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 404, 401, 401, 401, 403]
    for answer in answers:
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    made = asking.call(SMALL).data[0]  # type: ignore[index]
    file = asking.web.get("/gradio_api/file=" + made["images"][0]["path"])
    assert file.status_code == 200 and "sandbox" in file.headers["content-security-policy"]
    svg = asking.upload("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>").json()[
        0
    ]
    given = asking.web.get(f"/gradio_api/file={svg}")
    assert "attachment" in given.headers["content-disposition"]
    assert "sandbox" in given.headers["content-security-policy"]
