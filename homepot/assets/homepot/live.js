/* Panels that stay up to date: [data-live] names where their contents come from. Asks every 2 s while the tab is seen,
   and stops by itself once the contents say so (they hold no [data-more] any more) or the session has ended. */
"use strict";

const EVERY_MS = 2000;

async function refresh(panel) {
  const answer = await fetch(panel.dataset.live, { credentials: "same-origin", redirect: "error" });
  if (answer.status >= 400 && answer.status < 500) return false;
  if (answer.ok) panel.innerHTML = await answer.text();
  return panel.querySelector("[data-more]") !== null;
}

function follow(panel) {
  setTimeout(async () => {
    let goesOn = true;
    if (!document.hidden) goesOn = await refresh(panel).catch(() => navigator.onLine !== undefined);
    if (goesOn) follow(panel);
  }, EVERY_MS);
}

for (const panel of document.querySelectorAll("[data-live]")) {
  if (panel.querySelector("[data-more]")) follow(panel);
}
