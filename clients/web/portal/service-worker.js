/**
 * The worker: it runs when a push comes, with no page open, and is ended when its promises are settled.
 */

import { SYNC_TAG, ack, sendWaitingAcks } from "./acks.js";
import { readMessage } from "./payload.js";
import { isNew } from "./store.js";
import { renew } from "./subscription.js";

/** @typedef {import("./payload.js").Message} Message */
/** @typedef {ExtendableEvent & {tag: string}} SyncEvent */
/** @typedef {ServiceWorkerRegistration & {sync?: {register(tag: string): Promise<void>}}} Registration */
/** @typedef {ExtendableEvent & {oldSubscription: PushSubscription | null, newSubscription: PushSubscription | null}} ChangeEvent */

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

worker.addEventListener("install", () => worker.skipWaiting());
worker.addEventListener("activate", (event) => event.waitUntil(worker.clients.claim()));
worker.addEventListener("push", (event) => event.waitUntil(received(readMessage(event.data, new Date()))));
worker.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(clicked(event.notification.data));
});
worker.addEventListener("sync", (event) => {
  const { tag, waitUntil } = /** @type {SyncEvent} */ (event);
  if (tag === SYNC_TAG) waitUntil.call(event, sendAgain());
});
worker.addEventListener("pushsubscriptionchange", (event) => {
  const change = /** @type {ChangeEvent} */ (event);
  change.waitUntil(renew(worker.registration, change.newSubscription));
});

/** @param {Message | null} message */
async function received(message) {
  if (message) await Promise.allSettled([ack(message, "delivered"), showOnce(message)]);
  await sendOrWait();
}

/** The ack does not wait for this: without permission there is a push, and no notification. @param {Message} message */
async function showOnce(message) {
  if (!(await isNew(message))) return;
  const pages = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  for (const page of pages) page.postMessage({ kind: "message", message_id: message.message_id });
  if (message.shown) await worker.registration.showNotification(message.title, message.shown);
}

/** @param {Message | null} message */
async function clicked(message) {
  const shown = openPage(message?.url ?? "/portal/"); // first: a browser lets a click open a page for a moment only
  if (message) await ack(message, "clicked");
  await shown;
  await sendOrWait();
}

/** @param {string} url */
async function openPage(url) {
  const target = new URL(url, worker.location.origin).href;
  const pages = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  const open = pages.find((page) => page.url === target);
  try {
    await (open ? open.focus() : worker.clients.openWindow(target));
  } catch {
    // this browser lets nobody open a page now
  }
}

async function sendOrWait() {
  if (await sendWaitingAcks()) return;
  const { sync } = /** @type {Registration} */ (worker.registration); // Chromium's alone
  try {
    await sync?.register(SYNC_TAG);
  } catch {
    // no permission to sync: the next push or page sends them
  }
}

/** A rejected promise makes the browser sync again, later. */
async function sendAgain() {
  if (!(await sendWaitingAcks())) throw new Error("the server cannot be reached");
}
