"""The timeline in a real Chromium: looking back, going on from a step, halting and changing a picture."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, expect

from app.keeping.metadata import read_settings
from app.studio.timelines import FRAME_MS
from app.web.server import Running
from ldm_core.request import Request, TextToImage, branched, single
from tests.browser import WAIT, drop, newest, open_more, pictures, set_number, status

pytest_plugins = ["tests.browser"]


def prompt(page: Page, words: str) -> None:
    page.locator("#text-prompt textarea").fill(words)


def slide(page: Page, step: int) -> None:
    """Drags the slider to a step."""
    page.locator("#timeline input").evaluate(
        """(slider, step) => {
          const say = (kind) => slider.dispatchEvent(new Event(kind));
          say('pointerenter');
          const first = slider.valueAsNumber;
          for (let i = 1; i <= 8; i++) {
            slider.valueAsNumber = Math.round(first + ((step - first) * i) / 8);
            say('input');
          }
          say('change');
        }""",
        step,
    )


def pause_at_once(page: Page) -> None:
    """Presses Pause in the page itself, after three steps: from here that may come too late."""
    page.evaluate(
        """() => {
          const halt = document.querySelector('#timeline .halt');
          const status = document.querySelector('#status');
          const watch = new MutationObserver(() => {
            const [, step] = status.textContent.match(/Step (\\d+) of \\d+/) ?? [];
            if (!halt.checkVisibility() || !(step >= 3)) return;
            watch.disconnect();
            halt.click();
          });
          const all = { attributes: true, characterData: true, childList: true, subtree: true };
          watch.observe(document.querySelector('#stage'), all);
        }"""
    )


def seen(page: Page) -> NDArray[np.uint8]:
    """The decoded step over the picture."""
    source = page.locator("#timeline .past").get_attribute("src") or ""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


def made(path: Path) -> Request:
    return read_settings(path).request


def played(page: Page, film: bytes) -> tuple[int, int, int]:
    """Width, height and number of frames of a film, as this browser plays it to its end."""
    address = f"data:video/mp4;base64,{base64.b64encode(film).decode()}"
    width, height, seconds = page.evaluate(
        """async (address) => {
          const video = Object.assign(document.createElement("video"), { muted: true });
          video.src = URL.createObjectURL(await (await fetch(address)).blob());
          await new Promise((resolve, reject) => {
            video.onended = resolve;
            video.onerror = () => reject(new Error(video.error.message));
            video.play();
          });
          return [video.videoWidth, video.videoHeight, video.duration];
        }""",
        address,
    )
    return width, height, round(1000 * seconds / FRAME_MS)


def test_looking_back_branching_and_saving_the_steps(running: Running, page: Page, outputs: Path) -> None:
    prompt(page, "a lake at sunset")
    open_more(page)
    set_number(page, "number input for Steps", 12)
    expect(page.locator("#timeline .steps")).to_be_hidden()
    page.locator("#text-generate").click()
    status(page, "Finished in")
    (path,) = pictures(outputs)
    expect(page.locator("#timeline .branch")).to_be_disabled()
    slide(page, 5)
    past = page.locator("#timeline .past")
    expect(past).to_be_visible()
    expect(past).to_have_attribute("data-decoded", "5", timeout=WAIT)
    timelines = running.studio.timelines
    (old,) = timelines._jobs.values()
    truth = running.studio.engine().look(old, 0, 5)
    assert np.abs(seen(page).astype(int) - truth).mean() < 4  # what JPEG takes away
    with page.expect_download() as download:
        page.locator("#timeline .save").click()
    assert download.value.suggested_filename == f"steps-{made(path).seed}.webp"
    with Image.open(download.value.path()) as film:
        assert (film.format, film.size, film.n_frames) == ("WEBP", (64, 64), 13)
    with page.expect_download() as download:
        page.locator("#timeline .film").click()
    assert download.value.suggested_filename == f"steps-{made(path).seed}.mp4"
    assert played(page, download.value.path().read_bytes()) == (64, 64, 34)  # 13 steps, the last one held
    prompt(page, "snow over trees")
    set_number(
        page, "number input for Steps", 30
    )  # a branch has as many as its picture, whatever stands here
    page.locator("#timeline .branch").click()
    expect(page.locator("#timeline .said")).to_have_text("12 / 12", timeout=WAIT)
    status(page, "Finished in")
    (branch,) = pictures(outputs) - {path}
    request = made(branch)
    assert request.branch is not None
    assert (request.branch.step, request.branch.of) == (5, made(path))
    assert (request.prompt, request.steps) == ("snow over trees", 12)
    (new,) = (job for job in timelines._jobs.values() if job is not old)
    for before, after in zip(old.trajectory(0)[:5], new.trajectory(0)):
        assert torch.equal(before.x, after.x)
    page.locator("#latest .cell[aria-posinset='2']").click()  # the first picture still has its steps
    slide(page, 0)
    expect(past).to_have_attribute("data-decoded", "0", timeout=WAIT)
    slide(page, 12)
    expect(past).to_be_hidden()
    timelines.forget(old.owner)  # all of the owner's
    slide(page, 3)
    expect(page.locator("#timeline .said")).to_contain_text("no longer at hand")


def test_a_saved_branch_is_made_again_and_can_be_dropped(running: Running, page: Page, outputs: Path) -> None:
    of = TextToImage(prompt="a lake at sunset", steps=6, width=64, height=64, seed=3)
    branch = branched(replace(of, prompt="snow over trees", seed=4), 3, of)
    (picture,) = running.studio.make(branch)
    note = page.locator("#text-branch p")
    expect(note).to_have_count(0)
    drop(page, picture.png)
    expect(note).to_contain_text("its first 3 steps are those of “a lake at sunset”, seed 3")
    assert newest(page, outputs, "text").read_bytes() == picture.png
    page.wait_for_timeout(500)
    page.reload()
    page.wait_for_selector("body.restored")
    prompt(page, "the sun at noon")  # which changes nothing before the branch
    assert made(newest(page, outputs, "text")) == replace(branch, prompt="the sun at noon")
    note.get_by_role("button", name="Drop").click()
    expect(note).to_have_count(0)
    assert made(newest(page, outputs, "text")) == replace(branch, prompt="the sun at noon", branch=None)


def test_a_paused_picture_goes_on_by_other_words(running: Running, page: Page, outputs: Path) -> None:
    before = pictures(outputs)
    prompt(page, "a lake at sunset")
    open_more(page)
    set_number(page, "number input for Steps", 100)
    page.get_by_label("number input for Batch size").fill("2")
    pause_at_once(page)
    page.locator("#text-generate").click()
    status(page, r"Paused at step \d+ of 100")
    stood = page.locator("#timeline .said").inner_text()
    slide(page, 1)
    expect(page.locator("#timeline .past")).to_have_attribute("data-decoded", "1", timeout=WAIT)
    assert page.locator("#timeline input").get_attribute("aria-valuetext") == "Step 1 of 100"
    slide(page, 100)  # no further than it has come
    expect(page.locator("#timeline .said")).to_have_text(stood)
    prompt(page, "snow over trees")
    page.get_by_role("button", name="Continue", exact=True).click()
    status(page, "Finished in")
    first, second = (made(path) for path in sorted(pictures(outputs) - before))
    assert first.branch is not None and 0 < first.branch.step < 100
    assert (first.prompt, first.branch.of.prompt) == ("snow over trees", "a lake at sunset")
    assert first.seed == first.branch.of.seed
    assert second == single(second, 0) and second.branch is None and second.prompt == "snow over trees"
    (again,) = running.studio.make(first)
    assert again.png == min(pictures(outputs) - before).read_bytes()


def test_a_branch_takes_the_place_of_a_picture_that_is_being_made(page: Page, outputs: Path) -> None:
    before = pictures(outputs)
    open_more(page)
    set_number(page, "number input for Steps", 250)
    set_number(page, "Width", 512)
    set_number(page, "Height", 512)
    pause_at_once(page)
    page.locator("#text-generate").click()
    status(page, r"Paused at step \d+ of 250")
    slide(page, 2)
    page.locator("#timeline .branch").click()
    status(page, r"Step \d+ of 250")
    page.get_by_role("button", name="Pause").click()
    status(page, r"Paused at step \d+ of 250")
    page.locator("#timeline .branch").click()  # from where it stands
    status(page, r"Step \d+ of 250")
    page.keyboard.press("Control+.")
    status(page, "Stopped")
    expect(page.locator("#text-generate")).to_be_enabled(timeout=WAIT)
    assert pictures(outputs) == before
