// Mounts the history into elements of gradio's, inside shadow roots so that no style sheet reaches across.
//
//   tab        all pictures                      rail       the newest ones, beside the stage
//   grid       what is in sight of a long list   items      what was fetched of pictures
//   search     field and filters                 shelves    all, starred, boards, trash
//   selection  what is chosen                    pointing, keys: mouse, touch, keyboard
//   panel      one picture's settings            viewer     one or two pictures, large
//   actions    star, boards, trash, export       api        asks the program; parts: buttons, windows

import { Rail } from "./rail.js";
import { Tab } from "./tab.js";

/** @import { Settings } from "./tab.js" */
/**
 * What gr.HTML gives to a component's script.
 * @typedef {object} Mounting
 * @property {HTMLElement} element
 * @property {{ value: unknown }} props
 * @property {(event: string, detail: object) => void} trigger
 * @property {(name: string, changed: () => void) => void} watch
 * @property {Settings & { kind: "tab" | "rail" }} settings
 */

/** @param {Mounting} mounting */
export const mount = async ({ element, props, trigger, watch, settings }) => {
  const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
  root.replaceChildren();
  const style = Object.assign(document.createElement("link"), {
    rel: "stylesheet",
    href: new URL("history.css", import.meta.url).href,
  });
  const styled = new Promise((resolve) => {
    style.onload = style.onerror = resolve;
  });
  root.append(style);
  await styled;
  if (settings.kind === "rail") {
    const rail = new Rail((id) => trigger("pick", { id: `${id}` }));
    root.append(rail.element);
    const show = () => rail.select(typeof props.value === "string" ? props.value : "");
    watch("value", show);
    show();
    rail.look();
    return;
  }
  const tab = new Tab(root, settings, trigger);
  root.append(tab.element);
  let open = false;
  new ResizeObserver(() => {
    const now = tab.element.offsetParent !== null;
    if (now && !open) tab.open();
    open = now;
  }).observe(element);
};
