// Mouse, pen and touch on the grid.

/** @import { Tab } from "./tab.js" */

const LONG = 420; // milliseconds of a long press
const STILL = 10; // pixels that a finger may move in it

export class Pointing {
  /** @param {Tab} tab */
  constructor(tab) {
    this.tab = tab;
    this.timer = 0;
    this.pressed = false; // a long press has chosen already; what follows is no tap
    this.start = { x: 0, y: 0 };
    const { element } = tab.grid;
    element.addEventListener("pointerdown", (event) => this.onDown(event));
    element.addEventListener("pointermove", (event) => this.onMove(event));
    for (const name of ["pointerup", "pointercancel", "scroll"])
      element.addEventListener(name, () => clearTimeout(this.timer));
    element.addEventListener("click", (event) => this.onClick(event));
    element.addEventListener("dblclick", (event) => {
      if (tab.grid.idAt(event) !== null && !isMark(event)) tab.large();
    });
    element.addEventListener("contextmenu", (event) => {
      if (this.pressed) event.preventDefault();
    });
  }

  /** @param {PointerEvent} event */
  onDown(event) {
    this.pressed = false;
    const id = this.tab.grid.idAt(event);
    if (event.pointerType !== "touch" || id === null) return;
    this.start = { x: event.clientX, y: event.clientY };
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.pressed = true;
      this.tab.selection.choose(id, "toggle");
      this.tab.element.classList.add("picking");
      this.tab.showChosen();
      navigator.vibrate?.(15);
    }, LONG);
  }

  /** @param {PointerEvent} event */
  onMove(event) {
    if (Math.hypot(event.clientX - this.start.x, event.clientY - this.start.y) > STILL) clearTimeout(this.timer);
  }

  /** @param {MouseEvent} event */
  onClick(event) {
    const { tab } = this;
    const id = tab.grid.idAt(event);
    if (this.pressed) {
      this.pressed = false;
      return;
    }
    if (id === null) {
      tab.chooseNone();
      return;
    }
    const mark = isMark(event);
    if (mark === "star") {
      tab.actions.star([id], !tab.items.get(id)?.starred);
      return;
    }
    if (!tab.selection.chosen.size) tab.element.classList.remove("picking");
    const picking = tab.element.classList.contains("picking");
    const toggles = event.ctrlKey || event.metaKey || mark === "check" || picking;
    tab.selection.choose(id, event.shiftKey ? "range" : toggles ? "toggle" : "only");
    // On a narrow page the panel lies over the grid.
    if (!toggles && !event.shiftKey) tab.element.classList.add("reading");
    if (!tab.selection.chosen.size) tab.element.classList.remove("picking");
    tab.showChosen();
  }
}

/**
 * @param {Event} event
 * @returns {"star" | "check" | null}
 */
const isMark = (event) => {
  const mark = event.target instanceof Element ? event.target.closest(".mark") : null;
  return mark ? (mark.classList.contains("star") ? "star" : "check") : null;
};
