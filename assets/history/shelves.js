// What lies where: all pictures, the starred ones, boards, the trash.

import { make } from "../canvas/dom.js";
import { agreed, button, icon, openWindow } from "./parts.js";

/** @import { Board, Choices } from "./api.js" */
/** @import { Icon } from "./parts.js" */
/** @import { Actions } from "./actions.js" */

/** @typedef {{ starred?: string, board?: string, trashed?: string }} Shelf */

export class Shelves {
  /**
   * @param {ShadowRoot} root
   * @param {Actions} actions
   * @param {() => void} opened  another one was opened
   */
  constructor(root, actions, opened) {
    this.root = root;
    this.actions = actions;
    this.opened = opened;
    /** @type {Shelf} */
    this.open = {};
    /** @type {Board[]} */
    this.boards = [];
    this.element = make("nav", { class: "shelves", "aria-label": "Where to look" });
  }

  /** @param {Choices} choices */
  fill(choices) {
    this.boards = choices.boards;
    if (this.open.board && !this.boards.some((board) => `${board.id}` === this.open.board)) this.choose({});
    const rename = this.boards.find((board) => `${board.id}` === this.open.board);
    this.element.replaceChildren(
      this.entry("all", "All pictures", choices.pictures, {}),
      this.entry("star", "Starred", choices.starred, { starred: "1" }),
      make("h2", {}, "Boards"),
      ...this.boards.map((board) => this.entry("board", board.name, board.count, { board: `${board.id}` })),
      button("plus", "New board", () => this.name("New board", "", (name) => this.actions.board({ name })), {
        words: true,
        class: "quiet",
      }),
      ...(rename
        ? [
            make(
              "div",
              { class: "row" },
              button("edit", "Rename", () => this.rename(rename), { words: true, class: "quiet" }),
              button("close", "Remove", () => this.remove(rename), { words: true, class: "quiet" })
            ),
          ]
        : []),
      make("span", { class: "space" }),
      this.entry("trash", "Trash", choices.trashed, { trashed: "1" })
    );
  }

  /**
   * @param {Icon} sign
   * @param {string} name
   * @param {number} count
   * @param {Shelf} shelf
   */
  entry(sign, name, count, shelf) {
    const is = JSON.stringify(shelf) === JSON.stringify(this.open);
    return make(
      "button",
      { type: "button", class: "shelf", "aria-current": is ? "true" : null, onclick: () => this.choose(shelf) },
      icon(sign),
      make("span", { class: "name" }, name),
      make("span", { class: "count" }, count.toLocaleString("en"))
    );
  }

  choose(/** @type {Shelf} */ shelf) {
    this.open = shelf;
    this.opened();
  }

  rename(/** @type {Board} */ board) {
    this.name("Rename the board", board.name, (name) => this.actions.board({ board: board.id, name }));
  }

  async remove(/** @type {Board} */ board) {
    const question = `Remove the board “${board.name}”? Its pictures stay.`;
    if (!(await agreed(this.root, question, "Remove"))) return;
    this.open = {};
    await this.actions.board({ board: board.id });
    this.opened();
  }

  /**
   * Asks for a name.
   * @param {string} title
   * @param {string} value
   * @param {(name: string) => void} named
   */
  name(title, value, named) {
    const input = make("input", { type: "text", maxlength: 80, value, "aria-label": "Name", required: true });
    openWindow(this.root, title, (close) => {
      const form = make(
        "form",
        { method: "dialog" },
        input,
        make(
          "div",
          { class: "row end" },
          make("button", { type: "button", class: "worded", onclick: close }, "Cancel"),
          make("button", { type: "submit", class: "worded main" }, "Save")
        )
      );
      form.addEventListener("submit", () => named(input.value));
      return [form];
    });
    input.select();
  }
}
