// What tsc does not see: names that hide others, loose comparisons, and the rules of this page.
// Patterns are relative to the project's folder, where `npm run lint` starts eslint.

import js from "@eslint/js";
import globals from "globals";

// What a prompt or a file's name says is only ever text (assets/canvas/dom.js).
const MARKUP = ["innerHTML", "outerHTML", "insertAdjacentHTML", "setHTMLUnsafe", "write", "writeln"];
const given = { element: "readonly", props: "writable", trigger: "readonly", watch: "readonly", server: "readonly" };
const onlyBrowsers = Object.keys(globals.browser).filter((name) => !(name in globals.nodeBuiltin));

export default [
  js.configs.recommended,
  {
    languageOptions: { globals: { ...globals.browser, ...given } },
    rules: {
      "array-callback-return": "error",
      eqeqeq: "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-restricted-properties": ["error", ...MARKUP.map((property) => ({ property }))],
      "no-self-compare": "error",
      "no-shadow": "error",
      "no-unreachable-loop": "error",
      "no-var": "error",
      "prefer-const": "error",
    },
  },
  {
    // Formats, geometry and what is worked on need no browser.
    files: ["assets/canvas/{board,geometry,history,png,sheet,value}.js"],
    languageOptions: { globals: Object.fromEntries(onlyBrowsers.map((name) => [name, "off"])) },
  },
  {
    files: ["tests/javascript/**"],
    languageOptions: { globals: globals.nodeBuiltin },
  },
];
