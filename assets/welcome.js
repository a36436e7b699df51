// Runs inside gr.HTML: `element`, `props`, `trigger` and `watch` are given.
// What an empty stage says, by the tab that is open, and pictures to begin with.

/** @typedef {{ name: string, src: string, words: string }} Example */

/** @type {Record<string, string>} */
const SENTENCES = {
  text: "Describe a picture and press Generate, or begin with one of these",
  upscale: "Put a small picture beside and press Generate: it becomes larger and sharper",
  classes: "Choose what the picture shows and press Generate",
};

const { examples } = /** @type {{ examples: Example[] }} */ (props.value);
const sentence = document.createElement("p");
const list = document.createElement("div");
list.append(
  ...examples.map(({ name, src, words }) => {
    const button = Object.assign(document.createElement("button"), { type: "button", title: words });
    button.append(
      Object.assign(new Image(), { src, alt: "", loading: "lazy" }),
      Object.assign(document.createElement("span"), { textContent: words })
    );
    button.addEventListener("click", () => trigger("pick", { name }));
    return button;
  })
);
list.setAttribute("role", "group");
list.setAttribute("aria-label", props.label || "Examples");
element.replaceChildren(sentence, list);

const speak = () => {
  const tab = window.latentAtelier.openTab() ?? "";
  if (!(tab in SENTENCES)) return; // another tab's own place says what to do
  sentence.textContent = SENTENCES[tab];
  list.hidden = tab !== "text";
};
// Gradio shows the tab after it has marked it.
const later = () => requestAnimationFrame(() => setTimeout(speak));
const tabs = document.querySelector("#tabs");
if (tabs) new MutationObserver(later).observe(tabs, { subtree: true, attributeFilter: ["aria-selected"] });
later();
