// What can be done with pictures.  Each tells the program, then says what happened and how to undo it.

import { make } from "../canvas/dom.js";
import { Problem, post, save } from "./api.js";
import { agreed, openWindow, plural, select } from "./parts.js";

/** @import { Board } from "./api.js" */
/** @import { Toast } from "./parts.js" */

const CARRIES = /** @type {[string, string][]} */ ([
  ["everything", "Everything: settings, the pictures it was made of, a photograph's own facts"],
  ["settings", "Settings only"],
  ["nothing", "Nothing but the picture"],
]);
const FORMATS = /** @type {[string, string][]} */ ([
  ["PNG", "PNG"],
  ["JPEG", "JPEG"],
  ["WEBP", "WebP"],
  ["AVIF", "AVIF"],
]);

export class Actions {
  /**
   * @param {ShadowRoot} root
   * @param {Toast} toast
   * @param {() => Promise<void>} changed  looks at everything anew
   */
  constructor(root, toast, changed) {
    this.root = root;
    this.toast = toast;
    this.changed = changed;
    /** @type {(() => void) | null} */
    this.undo = null;
  }

  /**
   * @param {() => Promise<void>} act
   */
  async attempt(act) {
    try {
      await act();
    } catch (error) {
      this.toast.say(error instanceof Problem ? error.message : "That did not work; reload the page.");
      if (!(error instanceof Problem)) console.error(error);
    }
    await this.changed();
  }

  /**
   * @param {number[]} ids
   * @param {boolean} on
   */
  star(ids, on) {
    return this.attempt(() => post("star", { ids, on }));
  }

  /** @param {number[]} ids */
  trash(ids) {
    return this.attempt(async () => {
      const moved = (await post("trash", { ids })).ids;
      this.undo = () => {
        this.undo = null;
        this.restore(moved);
      };
      this.toast.say(`${plural(moved.length)} moved to the trash`, { label: "Undo", act: this.undo });
    });
  }

  /** @param {number[]} ids */
  restore(ids) {
    return this.attempt(async () => {
      const moved = (await post("restore", { ids })).ids;
      this.toast.say(`${plural(moved.length)} ${moved.length === 1 ? "is" : "are"} back`);
    });
  }

  /**
   * For good.
   * @param {number[] | null} ids  null: everything in the trash
   * @param {number} count
   */
  async erase(ids, count) {
    const question = `Delete ${plural(count)} for good? The files are gone then.`;
    if (!(await agreed(this.root, question, "Delete for good"))) return;
    await this.attempt(async () => {
      const answer = await post("delete", ids ? { ids } : { all: true });
      this.toast.say(`${plural(answer.count)} deleted`);
    });
  }

  /** @param {{ board?: number, name?: string, ids?: number[], on?: boolean }} change */
  board(change) {
    return this.attempt(() => post("board", change));
  }

  /**
   * Chooses boards for pictures.
   * @param {number[]} ids
   * @param {Board[]} boards
   * @param {number[]} on  boards that the one picture is on
   */
  chooseBoards(ids, boards, on) {
    const title = ids.length === 1 ? "Boards of this picture" : `Boards for ${plural(ids.length)}`;
    openWindow(this.root, title, (close) => {
      const rows = boards.map((board) => {
        const box = make("input", { type: "checkbox", checked: on.includes(board.id) });
        box.addEventListener("change", () => this.board({ board: board.id, ids, on: box.checked }));
        return make("label", { class: "line" }, box, board.name);
      });
      const input = make("input", { type: "text", maxlength: 80, placeholder: "New board", "aria-label": "New board" });
      const form = make("form", { class: "row" }, input, make("button", { type: "submit", class: "worded" }, "Add"));
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        if (!input.value.trim()) return;
        this.board({ name: input.value, ids });
        close();
      });
      const done = make("button", { type: "button", class: "worded main", onclick: close }, "Done");
      return [make("div", { class: "lines" }, ...rows), form, make("div", { class: "row end" }, done)];
    });
  }

  /**
   * Asks how, then saves one file or a zip.
   * @param {number[]} ids
   */
  export(ids) {
    const carries = select("What goes along", CARRIES, () => {});
    const format = select("Format", FORMATS, () => {});
    openWindow(this.root, `Export ${plural(ids.length)}`, (close) => {
      const start = () => {
        const wanted = { ids, carries: carries.value, format: format.value };
        close();
        this.attempt(async () => save((await post("export", wanted)).url));
      };
      return [
        make("label", { class: "field" }, "What goes along inside", carries),
        make("label", { class: "field" }, "Format", format),
        make("p", { class: "quiet" }, "That a model made the picture is said in any case."),
        make(
          "div",
          { class: "row end" },
          make("button", { type: "button", class: "worded", onclick: close }, "Cancel"),
          make("button", { type: "button", class: "worded main", onclick: start }, "Export")
        ),
      ];
    });
  }

  /** @param {number} id */
  show(id) {
    return this.attempt(() => post("show", { ids: [id] }));
  }
}
