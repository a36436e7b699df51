// All pictures of a batch at once: as large as the stage allows, from their files instead of small copies.
(() => {
  "use strict";
  const GAP = 12; // pixels between two pictures
  const CAPTION = 24; // under each
  const SMALLEST = 120; // narrower nothing is seen of a picture: what has no room is scrolled to

  // How wide pictures can be of which all are in sight, in as many columns as suit best.
  /** @type {(count: number, width: number, height: number, aspect: number) => number} */
  const widest = (count, width, height, aspect) => {
    let largest = 0;
    for (let columns = 1; columns <= count; columns++) {
      const rows = Math.ceil(count / columns);
      const across = (width - (columns - 1) * GAP) / columns;
      const down = (height - (rows - 1) * GAP) / rows - CAPTION;
      largest = Math.max(largest, Math.min(across, down * aspect));
    }
    return largest;
  };

  /** @type {(stage: HTMLElement, strip: HTMLElement) => void} */
  const begin = (stage, strip) => {
    const arrange = () => {
      const buttons = [...strip.querySelectorAll("button")];
      if (!stage.classList.contains("as-grid") || buttons.length < 2) return;
      const first = buttons[0].querySelector("img");
      const aspect = first?.naturalHeight ? first.naturalWidth / first.naturalHeight : 1;
      const style = getComputedStyle(strip);
      const width = strip.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
      const height = strip.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
      const side = Math.max(widest(buttons.length, width, height, aspect), Math.min(SMALLEST, width));
      strip.style.setProperty("--cell", `${Math.floor(side)}px`);
      strip.style.setProperty("--cell-height", `${Math.floor(side / aspect)}px`);
      for (const button of buttons) sharpen(button, side * devicePixelRatio);
    };

    /** @type {(button: HTMLButtonElement, wanted: number) => Promise<void>} */
    const sharpen = async (button, wanted) => {
      const picture = button.querySelector("img");
      const { full } = button.dataset;
      if (!picture || !full || picture.naturalWidth >= wanted || button.dataset.fetched === full) return;
      button.dataset.fetched = full;
      const large = Object.assign(new Image(), { src: full });
      await large.decode().then(
        () => (picture.src = large.src),
        () => {} // the small copy stays
      );
    };

    new MutationObserver(arrange).observe(stage, { attributeFilter: ["class"] });
    new MutationObserver(arrange).observe(strip, { childList: true, subtree: true });
    strip.addEventListener("load", arrange, true);
    new ResizeObserver(arrange).observe(strip);
  };
  const waiting = setInterval(() => {
    const [stage, strip] = [document.querySelector("#stage"), document.querySelector("#strip")];
    if (!(stage instanceof HTMLElement) || !(strip instanceof HTMLElement)) return;
    clearInterval(waiting);
    begin(stage, strip);
  }, 50);
})();
