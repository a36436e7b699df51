"""The page's scripts (assets/*.js) in a real Chromium, each alone; stand-ins give what gradio gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

pytest_plugins = ["tests.browser"]

ASSETS = Path(__file__).resolve().parents[1] / "assets"
DOT = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAC"
    "hwGA60e6kgAAAABJRU5ErkJggg=="
)

# Runs a script as gr.HTML does, then `act`; returns what was triggered, and what `act` returns.
MOUNT = """async ([script, value, act]) => {
  const element = document.querySelector("#element");
  const told = [];
  let changed = () => {};
  const props = { value, label: "A label" };
  const trigger = (...what) => told.push(what);
  const watch = (_, then) => { changed = then; };
  const server = {
    previews: async () => ({ previews: [[1, "data:,first"], [3, "data:,third"]] }),
    look: async ({ step }) => ({ step, src: `data:,decoded${step}` }),
    animation: async () => ({ problem: "There is no film." }),
  };
  const given = { element, props, trigger, watch, server };
  new Function(...Object.keys(given), script)(...Object.values(given));
  const show = (next) => { props.value = next; changed(); };
  const wait = () => new Promise((resolve) => setTimeout(resolve, 30));
  const body = `return (async () => { ${act} })()`;
  return [told, await new Function("element", "props", "show", "wait", body)(element, props, show, wait)];
}"""

PAGE = """<button class="generate" id="text-generate">Generate</button><button class="stop">Stop</button>
<div id="stage"></div><div id="strip"><button>1</button></div><button id="theme"></button>
<button id="fold"></button><button id="grid"></button>
<div id="picture"><div class="image-container"><button></button></div></div>
<div class="picture-input"><input type="file"></div>
<div id="open"><input type="file"></div><div id="status"></div>
<div id="field"><input></div>"""


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert not errors


def mounted(tab: Page, script: str, value: object, act: str) -> tuple[list[object], object]:
    tab.set_content('<div id="element" style="width: 300px; height: 200px"></div>')
    tab.add_script_tag(content=(ASSETS / "viewport.js").read_text("utf-8"))
    told, result = tab.evaluate(MOUNT, [(ASSETS / script).read_text("utf-8"), value, act])
    return told, result


def test_a_branch_is_said_and_dropped(tab: Page) -> None:
    value = {"step": 3, "of": {"prompt": "<b>a lake</b>", "seed": 7}}
    act = "const said = element.innerText; element.querySelector('button').click(); show(props.value);"
    act += "return [said, props.value, element.innerText];"
    _, result = mounted(tab, "branch.js", value, act)
    assert result == ["A branch: its first 3 steps are those of “<b>a lake</b>”, seed 7.Drop", None, ""]


def test_two_pictures_are_compared_by_keys(tab: Page) -> None:
    act = """
      const line = element.querySelector(".line");
      const now = () => line.getAttribute("aria-valuenow");
      const press = (key) => line.dispatchEvent(new KeyboardEvent("keydown", { key, cancelable: true }));
      const found = [now()];
      for (const key of ["ArrowRight", "End", "Home"]) { press(key); found.push(now()); }
      press("+");
      found.push(element.querySelector("img").style.transform);
      show(null);
      return [...found, element.children.length];
    """
    _, result = mounted(tab, "compare.js", {"before": {"url": DOT}, "after": {"url": DOT}}, act)
    assert result == ["50", "52", "100", "0", "translate(-37.5px, -25px) scale(1.25)", 0]


def test_a_picture_is_picked_from_the_filmstrip(tab: Page) -> None:
    items = [{"id": "a", "src": DOT, "alt": "one"}, {"id": "b", "src": "https://elsewhere/", "alt": "<b>"}]
    act = """
      element.querySelectorAll("img")[1].click();
      show({ ...props.value, selected: "b" }); // as the program answers
      return [...element.children].map((button) => [
        button.getAttribute("aria-pressed"),
        button.getAttribute("aria-label"),
        button.querySelector("img").src,
      ]);
    """
    told, result = mounted(tab, "filmstrip.js", {"items": items, "selected": "a"}, act)
    assert told == [["pick", {"id": "b"}]]
    assert result == [["false", "Picture 1: one", DOT], ["true", "Picture 2: <b>", ""]]


def test_a_grid_is_seen_as_it_fills_and_shown_once(tab: Page) -> None:
    act = """
      const shown = [];
      window.latentAtelier = { showGrid: (on) => shown.push(on) };
      const now = () => [element.innerText.split("\\n")[0], element.querySelectorAll("a").length];
      const found = [now()];
      show({ id: "a", done: 0, count: 4, pages: 2 });
      found.push(now());
      const [link] = element.querySelectorAll("a");
      show({ id: "a", done: 4, count: 4, pages: 2 });
      found.push(now(), element.querySelector("a") === link, link.getAttribute("href"));
      show({ id: "b", done: 4, count: 4, pages: 1 });  // looked at again: what was chosen stays
      found.push(now());
      show(null);
      found.push(now(), shown);
      return found;
    """
    _, result = mounted(tab, "legend.js", None, act)
    assert result == [
        ["", 0], ["0 of 4 pictures", 2], ["4 of 4 pictures", 2], True, "prompting/grid/a/0",
        ["4 of 4 pictures", 1], ["", 0], [True, False],
    ]  # fmt: skip


def test_models_are_filtered_and_picked(tab: Page) -> None:
    names = ("name", "title", "what", "tasks", "size", "precision", "hash", "licence", "problem")
    model = dict.fromkeys(names, "x") | {"usable": True}
    items = [model, model | {"name": "other", "usable": False}]
    act = """
      element.querySelectorAll(".rows button")[1].querySelector("span").click();
      const filter = element.querySelector("input");
      filter.value = " OTHER ";
      filter.dispatchEvent(new Event("input"));
      const rows = [...element.querySelectorAll(".rows button")];
      const count = element.querySelector(".bar span").textContent;
      return [rows.map((row) => [row.dataset.id, row.className]), count];
    """
    told, result = mounted(tab, "models.js", {"items": items, "selected": "x"}, act)
    assert told == [["pick", {"id": "other"}]]
    assert result == [[["other", "unusable"]], "1 of 2"]


def test_the_steps_of_a_picture(tab: Page) -> None:
    act = """
      const [slider, past, said] = ["input", ".past", ".said"].map((name) => element.querySelector(name));
      const found = [past.hidden];
      slider.value = 2;
      slider.dispatchEvent(new Event("input"));
      await wait();
      found.push(past.src);
      slider.dispatchEvent(new Event("change"));
      await wait();
      found.push(past.src);
      element.querySelector(".branch").click();
      element.querySelector(".save").click();
      await wait();
      found.push(said.textContent);
      show({ key: "second", done: 2, total: 5, state: "running" });
      found.push(said.textContent);
      element.querySelector(".halt").click();
      element.querySelector(".branch").click();
      show(null);
      return [...found, element.querySelector(".steps").hidden];
    """
    value = {"key": "first", "done": 4, "total": 4, "state": "finished"}
    told, result = mounted(tab, "timeline.js", value, act)
    assert result == [True, "data:,first", "data:,decoded2", "There is no film.", "2 / 5", True]
    assert told == [
        ["branch", {"key": "first", "step": 2}],
        ["pause"],
        ["branch", {"key": "second", "step": 1}],  # the step under way is not kept yet
    ]


@pytest.fixture
def whole(tab: Page) -> Page:
    """The scripts of the page itself, on the elements that they look for."""
    tab.set_content(PAGE)
    for name in ("atelier.js", "viewport.js", "keys.js", "fault.js"):
        tab.add_script_tag(content=(ASSETS / name).read_text("utf-8"))
    tab.wait_for_function("document.querySelector('#theme').textContent !== ''")
    return tab


def test_keys_theme_rail_and_grid(whole: Page) -> None:
    found = whole.evaluate("""async () => {
      const told = [];
      const find = (selector) => document.querySelector(selector);
      find(".generate").onclick = () => told.push("generate");
      find(".stop").onclick = () => told.push("stop");
      const press = (key, more = {}) => document.body.dispatchEvent(
        new KeyboardEvent("keydown", { key, bubbles: true, composed: true, cancelable: true, ...more }));
      press("Enter", { ctrlKey: true });
      await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
      press("Escape"); // which stops nothing
      press(".", { ctrlKey: true });
      told.push(latentAtelier.openTab());
      const dark = () => document.body.classList.contains("dark");
      const before = dark();
      latentAtelier.toggleTheme();
      told.push(dark() !== before);
      latentAtelier.toggleRail();
      told.push(find("#fold").getAttribute("aria-pressed"));
      latentAtelier.toggleGrid();
      told.push(find("#stage").className);
      press("Escape");
      told.push(find("#stage").className);
      press("?");
      told.push(find("#key-sheet").open);
      press("Escape");
      return [...told, find("#picture").getAttribute("role")];
    }""")
    assert found == ["generate", "stop", "text", True, "false", "as-grid", "", True, "group"]


def test_pictures_are_dropped_and_pasted(whole: Page) -> None:
    found = whole.evaluate("""async () => {
      const told = [];
      for (const place of ["#open", ".picture-input"])
        document.querySelector(`${place} input`).onchange = ({ target }) =>
          told.push(place, target.files[0].name);
      const files = new DataTransfer();
      files.items.add(new File(["x"], "a.png", { type: "image/png" }));
      const options = { bubbles: true, cancelable: true };
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: files, ...options }));
      document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: files, ...options }));
      await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
      return told;
    }""")
    assert found == ["#open", "a.png", ".picture-input", "a.png"]


def test_a_fault_is_said_at_its_field_until_that_is_changed(whole: Page) -> None:
    found = whole.evaluate("""async () => {
      const names = ["#status", "#field", "#field input"];
      const [status, field, input] = names.map((name) => document.querySelector(name));
      const said = () => field.querySelector(".fault")?.textContent ?? null;
      const state = () => [said(), input.getAttribute("aria-invalid")];
      const line = Object.assign(document.createElement("p"), { textContent: "Too large." });
      Object.assign(line.dataset, { at: "field", said: "1" });
      status.append(line);
      await new Promise((resolve) => setTimeout(resolve));
      const before = state();
      input.dispatchEvent(new Event("input", { bubbles: true }));
      return [before, state()];
    }""")
    assert found == [["Too large.", "true"], [None, None]]


def test_all_pictures_of_a_batch_fill_the_stage(tab: Page) -> None:
    """Four squares in a wide stage: two by two, from their files where the small copies are too small."""
    script = (ASSETS / "overview.js").read_text("utf-8")
    tab.set_content("""<style>#strip { width: 620px; height: 448px } img { width: 100% }</style>
      <div id="stage"><div id="strip"></div></div>""")
    tab.add_script_tag(content=script)
    found = tab.evaluate(
        """async (dot) => {
          const [stage, strip] = [document.querySelector("#stage"), document.querySelector("#strip")];
          for (let i = 0; i < 4; i++) {
            const button = document.createElement("button");
            button.dataset.full = `${dot}#${i}`;
            button.append(Object.assign(new Image(), { src: dot }));
            strip.append(button);
          }
          await new Promise((resolve) => setTimeout(resolve, 100));
          const before = strip.style.getPropertyValue("--cell");
          stage.classList.add("as-grid");
          await new Promise((resolve) => setTimeout(resolve, 100));
          const sources = [...strip.querySelectorAll("img")].map((picture) => picture.src.split("#")[1]);
          return [before, strip.style.getPropertyValue("--cell"), sources];
        }""",
        DOT,
    )
    assert found == ["", "194px", ["0", "1", "2", "3"]]  # (448 - 12) / 2 - 24


def test_an_empty_stage_says_what_its_tab_needs_and_offers_examples(tab: Page) -> None:
    value = {"examples": [{"name": "a.webp", "src": DOT, "words": "<b>pines</b>"}]}
    script = "window.latentAtelier ??= { openTab: () => window.open_tab };"
    act = """
      window.open_tab = "text"; await wait();
      const said = () => element.querySelector("p").textContent;
      const list = element.querySelector("[role=group]");
      const seen = [said(), list.hidden, list.innerText.trim()];
      list.querySelector("button").click();
      window.open_tab = "upscale";
      document.querySelector("#one").setAttribute("aria-selected", "true"); await wait();
      return [...seen, said(), list.hidden];"""
    tab.set_content('<div id="element"></div><div id="tabs"><button id="one"></button></div>')
    tab.evaluate("window.open_tab = 'text'")
    told, found = tab.evaluate(MOUNT, [script + (ASSETS / "welcome.js").read_text("utf-8"), value, act])
    assert told == [["pick", {"name": "a.webp"}]]
    assert found == [
        "Describe a picture and press Generate, or begin with one of these", False, "<b>pines</b>",
        "Put a small picture beside and press Generate: it becomes larger and sharper", True,
    ]  # fmt: skip
