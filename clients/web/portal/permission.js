/**
 * What has to be so before a page can subscribe: the browser can do it, and the person allows it.
 */

import { BLOCKED, Problem } from "./subscription.js";

/** Raises `Problem` for a browser that cannot receive at all. */
export function checkBrowser() {
  const why = cannotReceive();
  if (why) throw new Problem("unsupported", why);
}

/** Ask the person. Browsers allow it right after a click alone, so it comes before everything else. Raises `Problem`. */
export async function askPermission() {
  const permission = await Notification.requestPermission();
  if (permission === "denied") throw new Problem("denied", BLOCKED);
  if (permission !== "granted") throw new Problem("dismissed", "Notifications were not allowed. Try again, and allow them.");
}

function cannotReceive() {
  if (!self.isSecureContext) return "Messages need https: open this page under its https address.";
  if (!("serviceWorker" in navigator)) return "This browser has no service workers. A private window may be the reason.";
  if ("PushManager" in self && "Notification" in self) return "";
  return "This browser has no Web Push. On an iPhone or iPad, first add this page to the home screen and open it there.";
}
