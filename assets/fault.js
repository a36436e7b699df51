// What was wrong is also said at the control that caused it, until that is changed or something else is said.
(() => {
  "use strict";

  let clear = () => {};

  const tell = (line) => {
    clear();
    const control = document.getElementById(line?.dataset.at ?? "");
    const field = control?.querySelector("input, textarea");
    if (!field) return;
    const fold = control.closest(".more");
    if (fold && !control.offsetParent) fold.querySelector("button")?.click();
    const said = Object.assign(document.createElement("p"), {
      className: "fault",
      id: `${control.id}-fault`,
      textContent: line.textContent,
    });
    control.append(said);
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", said.id);
    requestAnimationFrame(() => said.scrollIntoView({ block: "nearest" }));
    clear = () => {
      said.remove();
      field.removeAttribute("aria-invalid");
      field.removeAttribute("aria-describedby");
    };
    control.addEventListener("input", clear, { once: true });
  };

  const watch = () => {
    const status = document.querySelector("#status");
    if (!status) return void requestAnimationFrame(watch);
    new MutationObserver(() => tell(status.querySelector("[data-at]"))).observe(status, {
      childList: true,
      subtree: true,
    });
  };
  watch();
})();
