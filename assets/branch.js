// Runs inside gr.HTML: `element`, `props` and `watch` are given.
// Says of which picture the next one is a branch, { step, of }, and drops that; shows nothing of null.

/** @typedef {{ step: number, of: { prompt?: string, seed: number } }} Branch */

const drop = Object.assign(document.createElement("button"), {
  type: "button",
  className: "sm secondary",
  textContent: "Drop",
  title: "Makes the next picture from its own first step on",
});
drop.addEventListener("click", () => (props.value = null));

const draw = () => {
  const branch = /** @type {Branch | null} */ (props.value);
  element.replaceChildren();
  if (!branch?.of) return;
  const { step, of } = branch;
  const first = step === 1 ? "step is that" : `${step} steps are those`;
  const words = of.prompt ? `“${of.prompt.slice(0, 60)}”` : "another picture";
  const said = document.createElement("p");
  said.append(`A branch: its first ${first} of ${words}, seed ${of.seed}.`, drop);
  element.append(said);
};
watch("value", draw);
draw();
