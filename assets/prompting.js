// Help in the fields for prompts: what could go on from the caret, and what was written before.
(() => {
  "use strict";

  /** @typedef {{ text: string, kind: string, detail: string }} Suggestion */
  /** @typedef {{ prompt: string, negative: string }} Used */

  const WAIT = 90; // milliseconds after the last key
  const KEPT = 300; // prompts in a guest's browser
  const FIELDS = ".prompt textarea, [id$='-negative_prompt'] textarea, .region textarea";
  const PLACES = "[id$='-prompt'], [id$='-negative_prompt'], [id$='-regions']";
  const STORE = "latent-atelier.prompts";

  /**
   * @template {keyof HTMLElementTagNameMap} Tag
   * @param {Tag} name
   * @returns {HTMLElementTagNameMap[Tag]}
   */
  const make = (name, className = "", text = "") =>
    Object.assign(document.createElement(name), { className, textContent: text });
  /** @type {(field: HTMLTextAreaElement) => string} */
  const formOf = (field) => field.closest(PLACES)?.id.split("-")[0] ?? "";
  /** @type {(id: string) => HTMLTextAreaElement | null} */
  const fieldOf = (id) => document.querySelector(`#${id} textarea`);

  // A list beside a field ------------------------------------------------------------------------------

  const list = make("ul", "suggestions");
  list.id = "suggestions";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Suggestions");
  /** @type {{ field: HTMLTextAreaElement, items: Suggestion[], length: number, at: number } | null} */
  let open = null;

  const close = () => {
    if (!open) return;
    open.field.closest(".block")?.classList.remove("open-panel");
    open.field.removeAttribute("aria-activedescendant");
    open.field.setAttribute("aria-expanded", "false");
    list.remove();
    open = null;
  };
  /** @type {(field: HTMLTextAreaElement, items: Suggestion[], length: number) => void} */
  const show = (field, items, length) => {
    close();
    if (!items.length) return;
    open = { field, items, length, at: -1 };
    list.replaceChildren(
      ...items.map(({ text, kind, detail }, i) => {
        const row = make("li", kind);
        row.id = `suggestion-${i}`;
        row.setAttribute("role", "option");
        row.append(make("span", "", text), make("small", "", detail || kind));
        return row;
      })
    );
    // Below the field: what is written is never covered.
    const box = field.getBoundingClientRect();
    const below = innerHeight - box.bottom > 140 || box.top < 140;
    list.style.left = `${box.left + scrollX}px`;
    list.style.width = `${box.width}px`;
    list.style.top = below ? `${box.bottom + scrollY + 2}px` : "";
    list.style.bottom = below ? "" : `${document.documentElement.clientHeight - box.top - scrollY + 2}px`;
    field.closest(".block")?.classList.add("open-panel"); // takes Escape for itself
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-controls", list.id);
    field.setAttribute("aria-expanded", "true");
    document.body.append(list);
  };
  /** @type {(step: number) => void} */
  const move = (step) => {
    if (!open) return;
    const count = open.items.length;
    open.at = open.at < 0 && step < 0 ? count - 1 : (open.at + step + count) % count;
    [...list.children].forEach((row, i) => row.setAttribute("aria-selected", `${i === open?.at}`));
    open.field.setAttribute("aria-activedescendant", `suggestion-${open.at}`);
    list.children[open.at].scrollIntoView({ block: "nearest" });
  };
  /** @type {(index: number) => void} */
  const take = (index) => {
    if (!open) return;
    const { field, items, length } = open;
    const { text, kind } = items[index];
    const caret = field.selectionStart;
    const goesOn = /^\s*[,)|}\]]/.test(field.value.slice(caret));
    close();
    write(field, (kind === "tag" || kind === "trigger") && !goesOn ? `${text}, ` : text, caret - length, caret);
  };
  /** @type {(field: HTMLTextAreaElement, text: string, start: number, end: number) => void} */
  const write = (field, text, start, end) => {
    field.focus();
    field.setSelectionRange(start, end);
    writing = true;
    // Keeps the field's own undo, which setRangeText would forget.
    if (!document.execCommand("insertText", false, text)) {
      field.setRangeText(text, start, end, "end");
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
    writing = false;
  };
  let writing = false;

  // While somebody writes ------------------------------------------------------------------------------

  let timer = 0;
  let asking = new AbortController();
  /** @type {(field: HTMLTextAreaElement) => Promise<void>} */
  const ask = async (field) => {
    asking.abort();
    asking = new AbortController();
    const [text, caret] = [field.value, field.selectionStart];
    const asked = new URLSearchParams({
      before: text.slice(Math.max(0, caret - 200), caret),
      model: window.latentAtelier.modelOf(formOf(field)),
    });
    try {
      const answer = await fetch(`prompting/complete?${asked}`, { signal: asking.signal });
      const found = answer.ok ? await answer.json() : { items: [], length: 0 };
      const same = field.value === text && field.selectionStart === caret && document.activeElement === field;
      if (same) show(field, found.items, found.length);
    } catch {
      // a later key asked anew, or the program is away: nothing is suggested
    }
  };
  document.addEventListener("input", (event) => {
    const field = event.target;
    if (!(field instanceof HTMLTextAreaElement) || !field.matches(FIELDS)) return;
    close();
    clearTimeout(timer);
    if (writing || !event.isTrusted || (event instanceof InputEvent && event.isComposing)) return;
    timer = setTimeout(() => ask(field), WAIT);
  });
  document.addEventListener(
    "keydown",
    (event) => {
      if (!open || event.target !== open.field || event.isComposing) return;
      const { at } = open;
      if (event.key === "ArrowDown" || event.key === "ArrowUp") move(event.key === "ArrowDown" ? 1 : -1);
      else if (event.key === "Tab" && !event.shiftKey) take(Math.max(at, 0));
      else if (event.key === "Enter" && at >= 0 && !event.ctrlKey && !event.metaKey) take(at);
      else if (event.key === "Escape") close();
      else {
        if (["ArrowLeft", "ArrowRight", "Home", "End", "Enter"].includes(event.key)) close();
        return;
      }
      event.preventDefault();
      event.stopPropagation();
    },
    true
  );
  // A finger or mouse takes a suggestion without the field losing the keyboard.
  list.addEventListener("pointerdown", (event) => event.preventDefault());
  list.addEventListener("mousedown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => {
    const row = event.target instanceof Element ? event.target.closest("li") : null;
    if (row) take([...list.children].indexOf(row));
  });
  document.addEventListener("focusout", (event) => {
    if (open && event.target === open.field) close();
  });
  addEventListener("resize", close);
  addEventListener("scroll", (event) => event.target !== list && close(), true);

  // Earlier prompts ------------------------------------------------------------------------------------

  /** @returns {Used[]} */
  const own = () => {
    try {
      const kept = JSON.parse(localStorage.getItem(STORE) ?? "[]");
      return Array.isArray(kept) ? kept : [];
    } catch {
      return [];
    }
  };
  /** @type {(used: Used) => Promise<void>} */
  const remember = async (used) => {
    if (!used.prompt.trim()) return;
    const headers = { "Content-Type": "application/json" };
    const answer = window.latentAtelier.isOwner
      ? await fetch("prompting/used", { method: "POST", headers, body: JSON.stringify(used) }).catch(() => null)
      : null;
    if (answer?.ok && (await answer.json()).kept) return;
    const others = own().filter((one) => one.prompt !== used.prompt || one.negative !== used.negative);
    try {
      localStorage.setItem(STORE, JSON.stringify([used, ...others].slice(0, KEPT)));
    } catch {
      // a browser that keeps nothing
    }
  };
  /** @type {(words: string) => Promise<Used[]>} */
  const find = async (words) => {
    const answer = window.latentAtelier.isOwner
      ? await fetch(`prompting/used?${new URLSearchParams({ words })}`).catch(() => null)
      : null;
    const kept = answer?.ok ? await answer.json() : null;
    if (kept) return kept;
    const all = words.toLowerCase().split(/\s+/);
    return own().filter(({ prompt }) => all.every((word) => prompt.toLowerCase().includes(word)));
  };
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest(".generate") : null;
    const form = button?.id.replace("-generate", "");
    const prompt = form && fieldOf(`${form}-prompt`)?.value;
    if (prompt) void remember({ prompt, negative: fieldOf(`${form}-negative_prompt`)?.value ?? "" });
  });

  const sheet = make("dialog", "earlier-prompts");
  const search = Object.assign(make("input"), { type: "search", placeholder: "Search", autofocus: true });
  search.setAttribute("aria-label", "Search earlier prompts");
  const rows = make("div", "rows");
  const shut = make("button", "", "Close");
  shut.addEventListener("click", () => sheet.close());
  const title = make("h2", "", "Earlier prompts");
  title.id = "earlier-prompts-title";
  sheet.setAttribute("aria-labelledby", title.id);
  sheet.append(title, search, rows, shut);
  let form = "";
  const fill = async () => {
    const words = search.value;
    const found = await find(words);
    if (words !== search.value) return;
    rows.replaceChildren(
      ...found.map((used) => {
        const row = make("button", "row");
        row.append(make("span", "", used.prompt));
        if (used.negative) row.append(make("small", "", `Without: ${used.negative}`));
        row.addEventListener("click", () => {
          sheet.close();
          put(fieldOf(`${form}-negative_prompt`), used.negative);
          put(fieldOf(`${form}-prompt`), used.prompt);
        });
        return row;
      })
    );
    if (!found.length) rows.append(make("p", "", words ? "Nothing with these words." : "Nothing was made yet."));
  };
  /** @type {(field: HTMLTextAreaElement | null, text: string) => void} */
  const put = (field, text) => {
    if (field && field.value !== text) write(field, text, 0, field.value.length);
  };
  search.addEventListener("input", () => void fill());
  sheet.addEventListener("keydown", (event) => event.stopPropagation());
  sheet.addEventListener("click", (event) => {
    if (event.target === sheet) sheet.close();
  });
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest(".earlier") : null;
    if (!button) return;
    event.preventDefault();
    form = button.closest(".prompt")?.id.split("-")[0] ?? "";
    if (!sheet.isConnected) document.body.append(sheet);
    search.value = "";
    void fill();
    sheet.showModal();
  });
  // Gradio draws fields when their tab opens.
  const dress = () => {
    for (const block of document.querySelectorAll(".prompt:not(:has(.earlier))")) {
      if (!block.querySelector("textarea")) continue;
      const button = make("button", "earlier", "Earlier");
      button.type = "button";
      button.title = "Earlier prompts";
      block.append(button);
    }
  };
  setInterval(dress, 700);
})();
