// What was wrong is also said at the control that caused it, until that is changed or something else is said.
(() => {
  "use strict";

  let clear = () => {};

  const tell = (/** @type {HTMLElement | null} */ line) => {
    clear();
    const control = document.getElementById(line?.dataset.at ?? "");
    if (!line || !control) return;
    const fold = control.closest(".more, .start, .aside");
    const folded = fold instanceof HTMLElement && fold.offsetParent && !control.offsetParent;
    if (folded) fold.querySelector("button")?.click();
    const said = Object.assign(document.createElement("p"), {
      className: "fault",
      id: `${control.id}-fault`,
      textContent: line.textContent,
    });
    // A place for a picture has its own height and shows nothing beyond that; a canvas has no field of the page's.
    const isPicture = control.matches(".picture-input");
    const input = isPicture ? null : fieldOf(control);
    const field = input ?? control;
    if (isPicture) control.after(said);
    else control.append(said);
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", said.id);
    requestAnimationFrame(() => said.scrollIntoView({ block: "nearest" }));

    const ended = new AbortController();
    const picture = new MutationObserver(() => clear());
    clear = () => {
      said.remove();
      field.removeAttribute("aria-invalid");
      field.removeAttribute("aria-describedby");
      ended.abort();
      picture.disconnect();
      clear = () => {};
    };
    const { signal } = ended;
    const value = input?.value;
    control.addEventListener("input", () => clear(), { signal });
    // A list tells nothing when something is chosen in it; it shows that a moment after the field is left.
    const left = () =>
      requestAnimationFrame(() => {
        if (!signal.aborted && input?.value !== value) clear();
      });
    control.addEventListener("focusout", left, { signal });
    const place = isPicture && control.querySelector(".image-container");
    if (place) picture.observe(place, { childList: true, subtree: true });
  };

  /** @type {(control: HTMLElement) => HTMLInputElement | HTMLTextAreaElement | null} */
  const fieldOf = (control) => control.querySelector("input, textarea");

  const watchStatus = () => {
    const status = document.querySelector("#status");
    if (!status) {
      requestAnimationFrame(watchStatus);
      return;
    }
    // Gradio changes what differs in the line it has.
    const all = { attributes: true, characterData: true, childList: true, subtree: true };
    /** @type {string | undefined} */
    let last;
    new MutationObserver(() => {
      /** @type {HTMLElement | null} */
      const line = status.querySelector("[data-at]");
      const said = line?.dataset.said;
      if (said !== last) tell(line);
      last = said;
    }).observe(status, all);
  };
  watchStatus();
})();
