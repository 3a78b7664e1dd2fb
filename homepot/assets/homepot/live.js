/* Panels that stay up to date: [data-live] names where their contents come from. Asks every 2 s, or [data-live-s], while
   the tab is seen and nothing in the panel has the focus or the pointer's tooltip. Stops by itself once the contents say
   so (they hold no [data-more] any more) or the session has ended. */
"use strict";

const EVERY_MS = 2000;

async function refresh(panel) {
  const answer = await fetch(panel.dataset.live, { credentials: "same-origin", redirect: "error" });
  if (answer.status >= 400 && answer.status < 500) return false;
  if (answer.ok) panel.innerHTML = await answer.text();
  return panel.querySelector("[data-more]") !== null;
}

function isUsed(panel) {
  return panel.contains(document.activeElement) || panel.querySelector(".term:hover") !== null;
}

function follow(panel) {
  setTimeout(async () => {
    let goesOn = true;
    if (!document.hidden && !isUsed(panel)) goesOn = await refresh(panel).catch(() => navigator.onLine !== undefined);
    if (goesOn) follow(panel);
  }, panel.dataset.liveS ? panel.dataset.liveS * 1000 : EVERY_MS);
}

for (const panel of document.querySelectorAll("[data-live]")) {
  if (panel.querySelector("[data-more]")) follow(panel);
}
