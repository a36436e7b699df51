// The search field and the filters beside it.

import { make } from "../canvas/dom.js";
import { button, fillSelect, select } from "./parts.js";

/** @import { Choices, Counted } from "./api.js" */

/** @typedef {Record<string, string>} Query  by the names of app/keeping/history/query.py; empty asks for nothing */

const REST = 40; // milliseconds of rest before a search begins
const HINT = 'Words of the prompt, a model, a LoRA, a seed… "in this order", -without';

/** @type {Record<string, string>} */
const TASKS = {
  "text-to-image": "Text to image",
  "image-to-image": "Image to image",
  inpaint: "Inpaint",
  outpaint: "Extend",
  "super-resolution": "Upscale",
  semantic: "Paint",
  layout: "Layout",
  class: "Classes",
  unconditional: "Without words",
};
export const taskName = (/** @type {string} */ task) => TASKS[task] ?? task;

export class Search {
  /** @param {() => void} changed  something else is looked for */
  constructor(changed) {
    this.timer = 0;
    this.words = make("input", { type: "search", placeholder: "Search", title: HINT, "aria-label": "Search pictures" });
    this.words.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(changed, REST);
    });
    this.words.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.words.value) return;
      event.stopPropagation();
      this.words.value = "";
      changed();
    });
    this.task = select("Task", [["", "Any task"]], changed);
    this.model = select("Model", [["", "Any model"]], changed);
    this.adapter = select("LoRA", [["", "Any LoRA"]], changed);
    this.since = make("input", { type: "date", "aria-label": "From this day on", title: "From this day on" });
    this.until = make("input", { type: "date", "aria-label": "Up to this day", title: "Up to this day" });
    for (const day of [this.since, this.until]) day.addEventListener("change", changed);
    this.order = select("Order", [["", "Newest first"], ["1", "Oldest first"]], changed);
    this.clear = button("close", "Search for nothing", () => {
      this.reset();
      changed();
    });
    this.filters = make(
      "div",
      { class: "filters" },
      this.task,
      this.model,
      this.adapter,
      make("span", { class: "days" }, this.since, "–", this.until),
      this.order
    );
    const more = button("filter", "Filters", () => {
      const open = this.element.classList.toggle("open");
      more.setAttribute("aria-expanded", `${open}`);
    }, { words: true, class: "more" });
    this.element = make("div", { class: "search", role: "search" }, this.words, more, this.filters, this.clear);
  }

  /** @param {Choices} choices */
  fill(choices) {
    const named = (/** @type {string} */ any, /** @type {Counted} */ counted, name = (/** @type {string} */ one) => one) =>
      /** @type {[string, string][]} */ ([["", any], ...counted.map(([one, count]) => [one, `${name(one)} (${count})`])]);
    fillSelect(this.task, named("Any task", choices.tasks, taskName));
    fillSelect(this.model, named("Any model", choices.models));
    fillSelect(this.adapter, named("Any LoRA", choices.adapters));
    this.adapter.hidden = !choices.adapters.length;
  }

  reset() {
    for (const field of [this.words, this.task, this.model, this.adapter, this.since, this.until]) field.value = "";
  }

  /** @returns {Query} */
  get query() {
    return {
      words: this.words.value.trim(),
      task: this.task.value,
      model: this.model.value,
      adapter: this.adapter.value,
      since: this.since.value,
      until: this.until.value,
      oldest_first: this.order.value,
    };
  }

  get isEmpty() {
    return Object.entries(this.query).every(([name, value]) => !value || name === "oldest_first");
  }
}
