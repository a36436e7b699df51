// The keyboard, while the tab is open.

/** @import { Tab } from "./tab.js" */

/** @param {Tab} tab */
export const listenToKeys = (tab) => {
  /** @type {Record<string, (event: KeyboardEvent) => boolean | void>} */
  const keys = {
    ArrowLeft: (event) => move(-1, event),
    ArrowRight: (event) => move(1, event),
    ArrowUp: (event) => move(-tab.grid.columns, event),
    ArrowDown: (event) => move(tab.grid.columns, event),
    PageUp: (event) => move(-page(), event),
    PageDown: (event) => move(page(), event),
    Home: (event) => move(-Infinity, event),
    End: (event) => move(Infinity, event),
    Enter: () => void tab.large(),
    " ": () => toggle(),
    Delete: () => tab.trashChosen(),
    Backspace: () => tab.trashChosen(),
    s: () => void tab.starChosen(),
    c: () => void tab.compare(),
    Escape: () => {
      if (tab.element.classList.contains("reading")) tab.element.classList.remove("reading");
      tab.element.classList.remove("picking");
      tab.chooseNone();
    },
    "/": () => tab.search.words.focus(),
  };
  /** @type {typeof keys} */
  const withControl = {
    a: () => {
      tab.selection.all();
      tab.showChosen();
    },
    z: () => {
      const { undo } = tab.actions;
      undo?.();
      return undo !== null;
    },
  };
  const page = () => tab.grid.columns * Math.max(1, Math.floor(tab.grid.element.clientHeight / tab.grid.pitch) - 1);
  const move = (/** @type {number} */ by, /** @type {KeyboardEvent} */ event) => {
    const id = tab.selection.move(by, event.shiftKey);
    if (id !== null) tab.grid.reveal(tab.selection.places.get(id) ?? 0);
    tab.showChosen();
  };
  const toggle = () => {
    const { focus } = tab.selection;
    if (focus !== null) tab.selection.choose(focus, "toggle");
    tab.showChosen();
  };

  document.addEventListener("keydown", (event) => {
    if (!tab.isOpen || event.altKey || event.defaultPrevented) return;
    const from = event.composedPath()[0];
    if (from instanceof Element && from.closest("input, select, textarea, dialog, [role=tab]")) return;
    const pressed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const onButton = from instanceof HTMLButtonElement && (pressed === "Enter" || pressed === " ");
    const act = event.ctrlKey || event.metaKey ? withControl[pressed] : keys[pressed];
    if (!act || onButton || act(event) === false) return;
    event.preventDefault();
  });
};
