// Which pictures of a list are chosen, and which one the keys move from.

/** @typedef {"only" | "toggle" | "range"} Way */

export class Selection {
  constructor() {
    /** @type {number[]} */
    this.ids = [];
    /** @type {Map<number, number>} place of each id */
    this.places = new Map();
    /** @type {Set<number>} */
    this.chosen = new Set();
    /** @type {number | null} */
    this.focus = null;
    /** @type {number | null} where a range begins */
    this.anchor = null;
  }

  /**
   * Another list; what is not in it any more is not chosen.
   * @param {number[]} ids
   */
  show(ids) {
    const before = this.focus === null ? -1 : (this.places.get(this.focus) ?? -1);
    this.ids = ids;
    this.places = new Map(ids.map((id, i) => [id, i]));
    this.chosen = new Set([...this.chosen].filter((id) => this.places.has(id)));
    if (this.focus !== null && !this.places.has(this.focus)) {
      // After a deletion the next picture is at hand.
      this.focus = before >= 0 && ids.length ? ids[Math.min(before, ids.length - 1)] : null;
      if (this.focus !== null && !this.chosen.size) this.chosen.add(this.focus);
    }
    if (this.anchor !== null && !this.places.has(this.anchor)) this.anchor = this.focus;
  }

  /**
   * @param {number} id
   * @param {Way} way
   */
  choose(id, way = "only") {
    const anchor = this.anchor === null ? undefined : this.places.get(this.anchor);
    const place = this.places.get(id);
    if (place === undefined) return;
    this.focus = id;
    if (way === "range" && anchor !== undefined) {
      this.chosen = new Set(this.ids.slice(Math.min(anchor, place), Math.max(anchor, place) + 1));
      return;
    }
    this.anchor = id;
    if (way !== "toggle") this.chosen = new Set([id]);
    else if (!this.chosen.delete(id)) this.chosen.add(id);
  }

  all() {
    this.chosen = new Set(this.ids);
  }

  none() {
    this.chosen.clear();
    this.anchor = this.focus;
  }

  /**
   * Moves the focus by so many places, as far as there are; returns its id.
   * @param {number} by
   * @param {boolean} extend
   */
  move(by, extend = false) {
    if (!this.ids.length) return null;
    const place = this.focus === null ? -1 : (this.places.get(this.focus) ?? -1);
    const next = place < 0 ? 0 : Math.min(Math.max(place + by, 0), this.ids.length - 1);
    this.choose(this.ids[next], extend ? "range" : "only");
    return this.ids[next];
  }

  /** The chosen ones in the list's order. */
  get list() {
    return this.ids.filter((id) => this.chosen.has(id));
  }
}
