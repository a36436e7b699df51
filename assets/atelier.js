// The page's own small behaviours: keys, theme, what folds away, dropping a picture.
(() => {
  "use strict";

  /** @typedef {"theme" | "rail" | "queue"} Choice  that a browser remembers */

  const remembered = (/** @type {Choice} */ name) => {
    try {
      return localStorage.getItem(`latent-atelier.${name}`);
    } catch {
      return null;
    }
  };
  /** @type {(name: Choice, value: string) => void} */
  const remember = (name, value) => {
    try {
      localStorage.setItem(`latent-atelier.${name}`, value);
    } catch {
      // a browser that keeps nothing: the choice lasts until the page is closed
    }
  };
  const inSight = (/** @type {string} */ selector) => {
    /** @type {NodeListOf<HTMLElement>} */
    const all = document.querySelectorAll(selector);
    return [...all].filter((one) => one.offsetParent !== null);
  };
  // The button in sight that can be pressed.
  const visible = (/** @type {string} */ selector) => inSight(selector).find((one) => !one.matches(":disabled"));
  const within = (/** @type {Event} */ event, /** @type {string} */ selector) =>
    event.target instanceof Element && event.target.closest(selector) !== null;

  // Theme and rail ------------------------------------------------------------------------------------

  const setTheme = (/** @type {boolean} */ dark) => {
    document.body.classList.toggle("dark", dark);
    document.documentElement.style.colorScheme = dark ? "dark" : "light";
    const button = document.querySelector("#theme");
    if (button) button.textContent = dark ? "Light" : "Dark";
  };
  const setRail = (/** @type {boolean} */ open) => {
    document.body.classList.toggle("rail-folded", !open);
    document.querySelector("#fold")?.setAttribute("aria-pressed", `${open}`);
  };
  const setQueue = (/** @type {boolean} */ open) => {
    document.body.classList.toggle("queue-open", open);
    document.querySelector("#queue-fold")?.setAttribute("aria-pressed", `${open}`);
  };
  const setGrid = (/** @type {boolean} */ on) => {
    document.querySelector("#stage")?.classList.toggle("as-grid", on);
    document.querySelector("#grid")?.setAttribute("aria-pressed", `${on}`);
  };
  const isGrid = () => document.querySelector("#stage")?.classList.contains("as-grid") ?? false;
  // What a person has changed by hand, by the id of its component.
  /** @type {Set<string>} */
  const touched = new Set();
  const touch = (/** @type {Event} */ event) => {
    for (const part of event.composedPath()) if (part instanceof Element && part.id) touched.add(part.id);
  };
  for (const kind of ["input", "change", "drop", "paste"]) document.addEventListener(kind, touch, true);
  document.addEventListener("mousedown", (event) => within(event, "[role=option]") && touch(event), true);

  // The owner's settings are kept by the program as well, a moment after the last change.
  /** @type {Map<string, object>} */
  const unsaved = new Map();
  let saving = 0;
  const save = () => {
    clearTimeout(saving);
    for (const [form, settings] of unsaved) {
      const body = new Blob([JSON.stringify(settings)], { type: "application/json" });
      if (body.size < 60_000) navigator.sendBeacon(`prompting/last/${form}`, body);
    }
    unsaved.clear();
  };
  addEventListener("pagehide", save);
  document.addEventListener("visibilitychange", () => document.hidden && save());

  /** @type {Map<string, string>} */
  const models = new Map();
  window.latentAtelier = {
    isOwner: document.documentElement.dataset.owner !== "no",
    modelOf: (form) => models.get(form) ?? "",
    parts: {},
    restored(arrived, places) {
      document.body.classList.add("restored");
      const same = { __type__: "update" };
      return (places ?? []).map(([form, name, id]) => {
        const values = arrived?.[form] ?? {};
        return name in values && !touched.has(id) ? values[name] : same;
      });
    },
    exportPreset(form, name, values) {
      const settings = Object.fromEntries(
        Object.entries(values).filter(([key]) => !["kin", "branch", "picture"].includes(key))
      );
      const preset = { program: "Latent Atelier", kind: "preset", version: 1, form, name, settings };
      const url = URL.createObjectURL(new Blob([JSON.stringify(preset, null, 2)], { type: "application/json" }));
      const called = name.replace(/[^\p{L}\p{N}_-]+/gu, " ").trim() || form;
      window.latentAtelier.save({ url, name: `${called}.preset.json` });
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    },
    keep(form, values) {
      // Gradio refuses whatever holds a file, by its `meta`, that a program started anew has no more.
      const plain = (/** @type {string} */ _, /** @type {any} */ value) => {
        const { meta, ...file } = value ?? {};
        return meta ? file : value;
      };
      models.set(form, String(values.model ?? ""));
      const kept = JSON.parse(JSON.stringify({ ...values, at: Date.now() }, plain));
      if (window.latentAtelier.isOwner && document.body.classList.contains("restored")) {
        unsaved.set(form, kept);
        clearTimeout(saving);
        saving = setTimeout(save, 1500);
      }
      return kept;
    },
    openTab() {
      const button = inSight(".generate").at(0);
      return button ? button.id.replace("-generate", "") : null;
    },
    save(file) {
      if (!file) return;
      const link = document.createElement("a");
      link.href = file.url;
      link.download = file.name;
      link.click();
    },
    toggleTheme() {
      const dark = !document.body.classList.contains("dark");
      setTheme(dark);
      remember("theme", dark ? "dark" : "light");
    },
    toggleRail() {
      const open = document.body.classList.contains("rail-folded");
      setRail(open);
      remember("rail", open ? "open" : "folded");
    },
    toggleQueue() {
      const open = !document.body.classList.contains("queue-open");
      setQueue(open);
      remember("queue", open ? "open" : "folded");
    },
    showGrid: setGrid,
    toggleGrid() {
      setGrid(!isGrid());
    },
  };

  document.addEventListener("click", (event) => {
    if (within(event, "#strip button")) setGrid(false);
  });

  // An open panel of a canvas takes Escape for itself.
  const inPanel = (/** @type {Event} */ event) =>
    event.composedPath().some((part) => part instanceof Element && part.classList.contains("open-panel"));
  const inSheet = () => document.querySelector("dialog[open]") !== null;

  // Keys ----------------------------------------------------------------------------------------------

  document.addEventListener(
    "keydown",
    (event) => {
      if (inSheet()) return;
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        event.stopPropagation();
        // A text field tells its newest value when it loses the focus at the latest.
        requestAnimationFrame(() => visible(".generate")?.click());
      } else if (event.key === "." && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        visible(".stop")?.click();
      } else if (event.key === "Escape" && !inPanel(event) && isGrid()) {
        event.preventDefault();
        event.stopPropagation();
        setGrid(false);
      }
    },
    true
  );

  // On a phone the picture may be out of sight: show it when one begins.
  document.addEventListener("click", (event) => {
    if (within(event, ".generate") && innerWidth < 760)
      (inSight(".easel").at(0) ?? document.querySelector("#stage"))?.scrollIntoView({ behavior: "smooth", block: "nearest" });
  });

  // Dropping a saved picture anywhere -----------------------------------------------------------------

  // A canvas, or a place for a picture, takes what is dropped on it itself.
  const carriesFiles = (/** @type {DragEvent} */ event) =>
    [...(event.dataTransfer?.types ?? [])].includes("Files") && !within(event, ".latent-canvas, .picture-input");
  let leaving = 0;
  const over = (/** @type {boolean} */ on) => {
    clearTimeout(leaving);
    document.body.classList.toggle("dropping", on);
  };
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    over(true);
  });
  document.addEventListener("dragleave", () => {
    leaving = setTimeout(() => over(false), 80);
  });
  document.addEventListener(
    "drop",
    (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      event.stopPropagation();
      over(false);
      give(openInput(), event.dataTransfer?.files[0]);
    },
    true
  );
  /** @type {(input: HTMLInputElement | null | undefined, file: File | undefined) => void} */
  const give = (input, file) => {
    if (!input || !file) return;
    const one = new DataTransfer();
    one.items.add(file);
    input.files = one.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };
  const openInput = () => {
    const button = document.querySelector("#open");
    return (button && fileInput(button)) ?? (button?.parentElement && fileInput(button.parentElement));
  };
  /** @type {(place: Element) => HTMLInputElement | null} */
  const fileInput = (place) => place.querySelector("input[type=file]");

  // Pasting a picture into the place for one; a canvas takes what is meant for it before this.
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files || [])].find((one) => one.type.startsWith("image/"));
    const place = inSight(".picture-input").at(0);
    if (!file || !place || event.defaultPrevented) return;
    /** @type {HTMLElement | null} */
    const clear = place.querySelector("[aria-label='Clear'], [aria-label='Remove Image']");
    clear?.click();
    event.preventDefault();
    requestAnimationFrame(() => give(fileInput(place), file));
  });

  // A page whose settings never arrive can be used without them.
  setTimeout(() => window.latentAtelier.restored(), 30_000);

  // Where the program was started anew it knows nothing of this page's pictures; the browser has kept the rest.
  const LOOK = 4000; // milliseconds
  setInterval(async () => {
    if (document.hidden) return;
    const answer = await fetch("gradio_api/app_id").catch(() => null);
    const program = answer?.ok ? await answer.json().catch(() => null) : null;
    const [shown, running] = [window.gradio_config?.app_id, program?.app_id];
    if (shown && running && shown !== running) location.reload();
  }, LOOK);

  // Gradio draws the page after this script runs: dress it once it is there ----------------------------

  const dress = () => {
    const stored = remembered("theme");
    setTheme(stored ? stored === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
    setRail(remembered("rail") !== "folded");
    setQueue(remembered("queue") === "open");
    const keys = document.querySelector("#keys");
    keys?.setAttribute("aria-label", "Keys");
    keys?.setAttribute("title", "Keys (?)");
    const picture = document.querySelector("#picture");
    if (!picture) return;
    namePicture(picture);
    new MutationObserver(() => namePicture(picture)).observe(picture, { childList: true, subtree: true });
  };
  // Gradio lays it into a button without a name, which does nothing here.
  const namePicture = (/** @type {Element} */ picture) => {
    const frame = picture.querySelector(".image-container > button");
    frame?.setAttribute("aria-hidden", "true");
    frame?.setAttribute("tabindex", "-1");
    picture.setAttribute("role", "group");
    picture.setAttribute("aria-label", "The picture");
  };
  const waiting = setInterval(() => {
    if (![".generate", "#fold", "#picture"].every((one) => document.querySelector(one))) return;
    clearInterval(waiting);
    dress();
  }, 50);
  document.documentElement.lang = "en";
})();
