/**
 * The portal page: whether this browser receives, the switch, and the latest messages.
 */

import { ack, sendWaitingAcks } from "./acks.js";
import { askPermission, checkBrowser } from "./permission.js";
import { countWaitingAcks, latestMessages, markOpened } from "./store.js";
import { Problem, refresh, subscribe, unsubscribe } from "./subscription.js";

const SHOWN = 20;
const WORKER_URL = "/static/portal/service-worker.js";
const { person = "", csrf = "" } = document.body.dataset;

/** @param {string} id */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const button = /** @type {HTMLButtonElement} */ (element("switch"));

let receives = false;

/** @returns {Promise<ServiceWorkerRegistration>} */
async function worker() {
  checkBrowser();
  try {
    await navigator.serviceWorker.register(WORKER_URL, { scope: "/portal/", type: "module", updateViaCache: "none" });
  } catch (error) {
    throw new Problem("no_worker", `The service worker did not start: ${/** @type {Error} */ (error).message}`);
  }
  return navigator.serviceWorker.ready;
}

/**
 * One thing at a time: the button waits for it, and what went wrong is said.
 *
 * @param {string} doing
 * @param {() => Promise<boolean>} work  resolves to whether this browser receives
 */
async function busy(doing, work) {
  button.disabled = true;
  element("state").textContent = doing;
  element("problem").hidden = true;
  try {
    receives = await work();
  } catch (error) {
    const { code, message } = /** @type {Problem} */ (error);
    element("problem").textContent = message;
    element("problem").dataset.code = code ?? "bug";
    element("problem").hidden = false;
    if (!(error instanceof Problem)) console.error(error);
  }
  element("state").textContent = receives ? "● This browser receives messages" : "○ This browser receives no messages";
  element("state").dataset.receives = String(receives);
  button.textContent = receives ? "Stop receiving" : "Receive messages here";
  button.disabled = false;
}

async function start() {
  return refresh(await worker(), person);
}

async function turn() {
  checkBrowser();
  if (!receives) await askPermission();
  const registration = await worker();
  if (receives) await unsubscribe(registration, csrf);
  else await subscribe(registration, person);
  return !receives;
}

async function draw() {
  const messages = await latestMessages(SHOWN);
  element("messages").replaceChildren(...messages.map(item));
  element("none").hidden = messages.length > 0;
  if (document.visibilityState !== "visible") return;
  for (const message of messages.filter((each) => !each.opened)) {
    await markOpened(message);
    await ack(message, "opened");
  }
  const waiting = await countWaitingAcks();
  element("waiting").hidden = waiting === 0;
  element("waiting").textContent = `${waiting} ${waiting === 1 ? "ack waits" : "acks wait"} for the server`;
}

/** @param {import("./store.js").KeptMessage} message */
function item(message) {
  const template = /** @type {HTMLTemplateElement} */ (element("message"));
  const copy = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
  const at = new Date(message.received_at);
  for (const [name, text] of Object.entries({ h3: message.title, p: message.body, time: at.toLocaleString() })) {
    /** @type {HTMLElement} */ (copy.querySelector(name)).textContent = text;
  }
  /** @type {HTMLTimeElement} */ (copy.querySelector("time")).dateTime = message.received_at;
  return copy;
}

async function sendAcks() {
  await sendWaitingAcks();
  await draw();
}

button.addEventListener("click", () => busy(receives ? "Stopping ..." : "Subscribing ...", turn).then(draw));
navigator.serviceWorker?.addEventListener("message", () => draw());
document.addEventListener("visibilitychange", () => draw());
self.addEventListener("online", () => sendAcks());
await busy("Looking ...", start);
await sendAcks();
