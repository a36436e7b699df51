// The sheet behind `?` that lists the keys.
(() => {
  "use strict";

  /** @type {Record<string, [keys: string, words: string][]>} */
  const KEYS = {
    Everywhere: [
      ["Ctrl+Enter", "Generate"],
      ["Ctrl+.", "Stop"],
      ["F", "The whole screen"],
      ["Escape", "Leave what is on top"],
      ["?", "This sheet"],
    ],
    "On the picture": [
      ["+ −", "Closer and further; also the wheel"],
      ["0", "All of it; also a double click"],
      ["1", "Its own pixels"],
    ],
    "On a canvas": [
      ["B", "Brush"],
      ["E", "Eraser"],
      ["G", "Bucket"],
      ["R", "Rectangle"],
      ["L", "Lasso"],
      ["W", "Wand: what is alike in colour (Shift: anywhere)"],
      ["[ ]", "Smaller and larger brush; also Ctrl+wheel"],
      ["X", "Bucket, rectangle, lasso and wand take away"],
      ["I", "Exchange what is filled and what is kept (masks)"],
      ["Ctrl+Z", "Undo"],
      ["Ctrl+Y", "Redo; also Ctrl+Shift+Z"],
      ["+ −", "Closer and further; also the wheel"],
      ["0", "All of it"],
      ["1", "The picture's own pixels"],
      ["Space", "Hold and drag: move the sheet"],
      ["Arrows", "Move the sheet, or the chosen box (Shift: further, Alt: its size)"],
      ["C", "The model's cells"],
      ["H", "Hold: what is painted, without the result over it"],
      ["/", "Search the classes"],
      ["Enter", "A box in the middle"],
      ["Delete", "Take the chosen box away"],
    ],
    "In the queue": [
      ["Alt+↑ ↓", "A waiting job earlier or later"],
      ["Delete", "Off the list"],
    ],
    "In the history": [
      ["Arrows", "Another picture (Shift: choose all between)"],
      ["Enter", "The chosen picture large; two: side by side"],
      ["Space", "Choose one more, or one less"],
      ["Ctrl+A", "Choose all"],
      ["S", "Star"],
      ["C", "Compare the two that are chosen"],
      ["Delete", "To the trash; Ctrl+Z brings it back"],
      ["/", "Search"],
      ["Escape", "Choose nothing"],
    ],
    "On a slider": [["← →", "A step back and ahead; between before and after: the line"]],
  };

  /**
   * @template {keyof HTMLElementTagNameMap} Tag
   * @param {Tag} name
   * @returns {HTMLElementTagNameMap[Tag]}
   */
  const make = (name, text = "") => Object.assign(document.createElement(name), { textContent: text });
  const dialog = make("dialog");
  dialog.id = "key-sheet";
  dialog.setAttribute("aria-labelledby", "key-sheet-title");
  const title = make("h2", "Keys");
  title.id = "key-sheet-title";
  title.tabIndex = -1;
  title.autofocus = true; // the button at the end would scroll the beginning out of sight
  const close = make("button", "Close");
  close.addEventListener("click", () => dialog.close());
  for (const [place, keys] of Object.entries(KEYS)) {
    const list = make("dl");
    for (const [key, words] of keys) {
      const term = make("dt");
      term.append(make("kbd", key));
      list.append(term, make("dd", words));
    }
    dialog.append(make("h3", place), list);
  }
  dialog.prepend(title);
  dialog.append(close);
  // What is behind the sheet hears no key while it is open.
  dialog.addEventListener("keydown", (event) => event.stopPropagation());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside the sheet
  });

  const show = () => {
    if (!dialog.isConnected) document.body.append(dialog);
    if (!dialog.open) dialog.showModal();
  };
  window.latentAtelier.showKeys = show;

  const TYPING = "input:not([type=range], [type=checkbox], [type=radio]), textarea, select, [contenteditable=true]";
  document.addEventListener("keydown", (event) => {
    const from = event.composedPath()[0];
    const typing = from instanceof Element && from.matches(TYPING);
    if (event.key !== "?" || event.ctrlKey || event.metaKey || event.altKey || typing) return;
    event.preventDefault();
    show();
  });
})();
