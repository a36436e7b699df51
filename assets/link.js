// Runs inside gr.HTML: `props`, `trigger` and `watch` are given.
// Asks to be told of everything, and asks again when nothing was heard for a while: the connection was cut.

const SILENCE = 25_000; // milliseconds; while it is heard something comes more often
const LOOK = 1000;

let heard = 0;
let asking = false;

const attach = async () => {
  // First the page itself: on a slow computer what streams in would keep it from being ready.
  if (!document.body.classList.contains("restored")) return;
  if (asking || Date.now() - heard < SILENCE) return;
  asking = true;
  const answer = await fetch("gradio_api/app_id").catch(() => null);
  asking = false;
  if (!answer?.ok) return; // there is no program to ask
  heard = Date.now();
  trigger("attach");
};
watch("value", () => {
  heard = Date.now();
  const { number, page } = /** @type {{ number: number, page: string }} */ (props.value);
  // After what came with it is drawn.
  setTimeout(() => fetch(`seen/${page}/${number}`, { method: "POST" }).catch(() => null));
});
setInterval(attach, LOOK);
document.addEventListener("visibilitychange", attach);
addEventListener("online", attach);
attach();
