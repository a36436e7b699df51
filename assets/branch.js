// Runs inside gr.HTML: `element`, `props` and `watch` are given.
// Says of which picture the next one is a branch, { step, of }, and drops that; shows nothing of null.

const make = (name, more) => Object.assign(document.createElement(name), more);
const drop = make("button", {
  type: "button",
  className: "sm secondary",
  textContent: "Drop",
  title: "Makes the next picture from its own first step on",
});
drop.addEventListener("click", () => (props.value = null));

const draw = () => {
  const { step, of } = props.value ?? {};
  element.replaceChildren();
  if (!of) return;
  const first = step === 1 ? "step is that" : `${step} steps are those`;
  const words = of.prompt ? `“${of.prompt.slice(0, 60)}”` : "another picture";
  const said = make("p", { textContent: `A branch: its first ${first} of ${words}, variation ${of.seed}.` });
  said.append(drop);
  element.append(said);
};
watch("value", draw);
draw();
