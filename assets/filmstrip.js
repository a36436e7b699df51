// Runs inside gr.HTML: `element`, `props`, `trigger` and `watch` are given.
// Buttons are made here, not by a template, so that text from a prompt is only ever text.

/** @typedef {{ id: string, src: string | null, alt: string, caption?: string, full?: string }} Item */
/** @typedef {{ items?: Item[], selected?: string }} Strip */

const draw = () => {
  const { items = [], selected = "" } = /** @type {Strip} */ (props.value || {});
  const old = new Map([...element.querySelectorAll("button")].map((button) => [button.dataset.id, button]));
  const now = items.map((item, i) => {
    const button = old.get(item.id) || make(item);
    const picture = button.querySelector("img");
    // The overview may show a larger copy of the same picture.
    if (picture && item.src?.startsWith("data:image/") && button.dataset.small !== item.src)
      picture.src = button.dataset.small = item.src;
    button.dataset.caption = item.caption || item.alt;
    if (item.full) button.dataset.full = item.full;
    button.title = item.alt;
    button.setAttribute("aria-pressed", `${item.id === selected}`);
    button.setAttribute("aria-label", `Picture ${i + 1}: ${item.alt}`);
    return button;
  });
  // What stays is left alone, so that neither a press under way nor the focus is lost.
  if (now.length !== element.children.length || now.some((button, i) => button !== element.children[i]))
    element.replaceChildren(...now);
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", props.label || "Pictures");
};

const make = (/** @type {Item} */ item) => {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.id = item.id;
  const picture = document.createElement("img");
  picture.alt = "";
  button.append(picture);
  return button;
};

element.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("button") : null;
  if (!button) return;
  trigger("pick", { id: button.dataset.id });
});

watch("value", draw);
draw();
