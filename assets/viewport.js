// The viewport of the stage: its picture is zoomed and moved, fills the screen, and is told to the canvases.
(() => {
  "use strict";
  const LARGEST = 32; // times as large as all of it
  const TYPING = "input:not([type=range], [type=checkbox], [type=radio]), textarea, select, [contenteditable=true]";

  /** @type {(a: PointerEvent, b: PointerEvent) => number} */
  const apart = (a, b) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);

  /**
   * Zooms pictures that fill `frame` by wheel, two fingers and a double click, and moves them by dragging.
   * @param {HTMLElement} frame
   * @param {() => HTMLImageElement[]} pictures
   */
  const zoomable = (frame, pictures) => {
    let zoom = 1;
    let [x, y] = [0, 0]; // of the pictures' corner, in the frame
    /** @type {Map<number, PointerEvent>} */
    const down = new Map();

    // The zoom at which a pixel of the picture is one of the page.
    const whole = () => {
      const [picture] = pictures();
      if (!picture?.naturalWidth || !frame.clientWidth) return 1;
      return Math.max(picture.naturalWidth / frame.clientWidth, picture.naturalHeight / frame.clientHeight);
    };
    // A picture smaller than the frame stays in its middle.
    const within = (/** @type {number} */ at, /** @type {number} */ side) =>
      zoom <= 1 ? (side * (1 - zoom)) / 2 : Math.min(0, Math.max(at, side * (1 - zoom)));
    const place = () => {
      const { clientWidth: width, clientHeight: height } = frame;
      x = within(x, width);
      y = within(y, height);
      // What is beyond the frame: one of the pictures may lie in no box that cuts it off.
      const [top, left] = [-y / zoom, -x / zoom];
      const [right, bottom] = [width - left - width / zoom, height - top - height / zoom];
      frame.style.touchAction = zoom > 1 ? "none" : "pan-x pan-y";
      frame.style.cursor = zoom > 1 ? "grab" : "default";
      for (const { style } of pictures()) {
        style.transformOrigin = "0 0";
        style.transform = `translate(${x}px, ${y}px) scale(${zoom})`;
        style.clipPath = `inset(${top}px ${right}px ${bottom}px ${left}px)`;
      }
    };
    /** @type {(wanted: number, clientX?: number, clientY?: number) => void} */
    const zoomTo = (wanted, clientX, clientY) => {
      const box = frame.getBoundingClientRect();
      const [px, py] = [(clientX ?? box.x + box.width / 2) - box.x, (clientY ?? box.y + box.height / 2) - box.y];
      const next = Math.min(LARGEST, Math.max(Math.min(1, whole()), wanted));
      [x, y] = [px - ((px - x) * next) / zoom, py - ((py - y) * next) / zoom];
      zoom = next;
      place();
    };
    const fit = () => {
      [zoom, x, y] = [1, 0, 0];
      place();
    };

    frame.addEventListener(
      "wheel",
      (event) => {
        if (innerWidth <= 760 && !event.ctrlKey) return; // there the page itself is scrolled
        event.preventDefault();
        zoomTo(zoom * Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
      },
      { passive: false }
    );
    frame.addEventListener("dblclick", () => (zoom === 1 ? zoomTo(whole()) : fit()));
    frame.addEventListener("dragstart", (event) => zoom > 1 && event.preventDefault());
    frame.addEventListener("pointerdown", (event) => {
      const control = event.target instanceof Element && event.target.closest("button, input, [role=slider]");
      if (event.button === 2 || (control && frame.contains(control) && control !== frame.firstElementChild)) return;
      down.set(event.pointerId, event);
      if (zoom > 1) frame.setPointerCapture(event.pointerId);
    });
    frame.addEventListener("pointermove", (event) => {
      const before = down.get(event.pointerId);
      if (!before || !event.buttons) {
        down.delete(event.pointerId); // let go elsewhere
        return;
      }
      const other = [...down.values()].find(({ pointerId }) => pointerId !== event.pointerId);
      down.set(event.pointerId, event);
      if (other) {
        const [cx, cy] = [(event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2];
        if (apart(before, other) > 10) zoomTo((zoom * apart(event, other)) / apart(before, other), cx, cy);
        return;
      }
      x += event.clientX - before.clientX;
      y += event.clientY - before.clientY;
      place();
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      frame.addEventListener(end, (event) => event instanceof PointerEvent && down.delete(event.pointerId));
    }
    new ResizeObserver(place).observe(frame);
    const by = (/** @type {number} */ factor) => zoomTo(zoom * factor);
    return { fit, place, own: () => zoomTo(whole()), by };
  };

  // The whole screen ----------------------------------------------------------------------------------

  const setFull = (/** @type {boolean} */ on) => {
    document.body.classList.toggle("full", on);
    document.querySelector("#full")?.setAttribute("aria-pressed", `${on}`);
  };
  const toggleFull = () => {
    const on = !document.body.classList.contains("full");
    setFull(on);
    // Where a browser refuses, the page at least is all picture.
    if (on) document.documentElement.requestFullscreen?.().catch(() => null);
    else if (document.fullscreenElement) document.exitFullscreen();
  };
  document.addEventListener("fullscreenchange", () => document.fullscreenElement || setFull(false));

  const viewport = { seen: "", zoomable, toggleFull };
  window.atelierViewport = viewport;

  // The stage -----------------------------------------------------------------------------------------

  const begin = (/** @type {HTMLElement} */ stage, /** @type {HTMLElement} */ frame) => {
    const shown = () => {
      /** @type {NodeListOf<HTMLImageElement>} */
      const all = stage.querySelectorAll("#picture img, #timeline .past");
      return [...all];
    };
    const zoom = zoomable(frame, shown);
    let shape = 0;
    const look = () => {
      const seen = shown().findLast((picture) => !picture.hidden && picture.src);
      zoom.place();
      if ((seen?.src ?? "") === viewport.seen) return;
      viewport.seen = seen?.src ?? "";
      window.dispatchEvent(new Event("atelier-seen"));
    };
    new MutationObserver(look).observe(stage, {
      subtree: true,
      childList: true,
      attributes: true,
      attributeFilter: ["src", "hidden"],
    });
    // Another shape is another picture; previews and what becomes of them stay in place.
    stage.addEventListener(
      "load",
      ({ target }) => {
        if (!(target instanceof HTMLImageElement) || !shown().includes(target)) return;
        const now = target.naturalWidth / target.naturalHeight;
        if (Math.abs(now - shape) > 0.01) zoom.fit();
        shape = now;
      },
      true
    );
    // Where a canvas shows the picture, the stage lies below it.
    new ResizeObserver(() => {
      if (frame.offsetParent === null && !stage.classList.contains("as-grid") && stage.offsetHeight)
        document.documentElement.style.setProperty("--foot", `${stage.offsetHeight}px`);
    }).observe(stage);

    /** @type {Record<string, () => void>} */
    const acts = {
      0: zoom.fit,
      1: zoom.own,
      "+": () => zoom.by(1.25),
      "=": () => zoom.by(1.25),
      "-": () => zoom.by(0.8),
    };
    document.addEventListener("keydown", (event) => {
      const from = event.composedPath()[0];
      const typing = from instanceof Element && from.matches(`${TYPING}, [role=slider]`);
      if (typing || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      const compared = stage.querySelector("#compare img"); // which has keys of its own
      const act = event.key === "f" ? toggleFull : !compared && frame.offsetParent !== null && acts[event.key];
      if (!act || document.querySelector("dialog[open]")) return;
      event.preventDefault();
      act();
    });
    // What lies on top of the full page is left first, whoever listens first.
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !document.fullscreenElement)
        setTimeout(() => event.defaultPrevented || setFull(false));
    });
    look();
  };
  const waiting = setInterval(() => {
    const [stage, frame] = [document.querySelector("#stage"), document.querySelector("#picture")];
    if (!(stage instanceof HTMLElement) || !(frame instanceof HTMLElement)) return;
    clearInterval(waiting);
    begin(stage, frame);
  }, 50);
})();
