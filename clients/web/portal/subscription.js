/**
 * This browser's subscription: asked for, handed to the server, kept fresh, ended. For the page and for the worker.
 *
 * @typedef {import("./store.js").Registered} Registered
 */

import { forget, keepRegistered, registered } from "./store.js";

const SUBSCRIBE_S = 20;
const SERVER_S = 15;

/** What went wrong, in words for the person in front of the page. `code` is for programs. */
export class Problem extends Error {
  /** @param {string} code @param {string} text */
  constructor(code, text) {
    super(text);
    this.code = code;
  }
}

const SIGNED_OUT = "You are signed out. Sign in again, then try again.";
const OFFLINE = "The server cannot be reached. Try again when this device is online.";
export const BLOCKED = "This browser blocks notifications from this site. Allow them in the site's settings, then try again.";
const SILENT = `The browser's push service did not answer within ${SUBSCRIBE_S} s. Something on the network may block it.`;

/**
 * Subscribe, and tell the server. Again, it only makes sure of what is there. Raises `Problem`.
 *
 * @param {ServiceWorkerRegistration} registration
 * @param {string} person  the server's id of who is signed in
 * @param {number} timeout_s  for the push service
 * @returns {Promise<Registered>}
 */
export async function subscribe(registration, person, timeout_s = SUBSCRIBE_S) {
  const key = await serverKey();
  const known = await registered().catch(() => undefined);
  const own = known?.person === person ? known : undefined;
  return register(await subscriptionFor(registration, key, timeout_s), person, own, async () => {
    await (await registration.pushManager.getSubscription())?.unsubscribe();
    return subscriptionFor(registration, key, timeout_s);
  });
}

/**
 * The browser has, or wants, another subscription: the server learns it, for the device that this browser is already.
 *
 * @param {ServiceWorkerRegistration} registration
 * @param {PushSubscription | null} fresh  null: make one
 */
export async function renew(registration, fresh) {
  const known = await registered();
  if (!known) return;
  const subscription = fresh ?? (await subscriptionFor(registration, await serverKey(), SUBSCRIBE_S));
  await register(subscription, known.person, known, async () => subscription);
}

/**
 * At each visit: where what the server knows of this browser is no longer so, mend it. A browser is one person's at a
 * time: what the one before got here is not shown to the next, and nothing more of it comes.
 *
 * @param {ServiceWorkerRegistration} registration
 * @param {string} person
 * @returns {Promise<boolean>}  whether this browser receives for this person
 */
export async function refresh(registration, person) {
  const known = await registered();
  const subscription = await registration.pushManager.getSubscription();
  if (known && known.person !== person) {
    await subscription?.unsubscribe();
    await forget();
  }
  if (known?.person !== person || Notification.permission !== "granted") return false;
  const key = await serverKey();
  if (!subscription || !isMadeWith(subscription, key) || subscription.endpoint !== known.endpoint) {
    await register(await subscriptionFor(registration, key, SUBSCRIBE_S), person, known, async () => {
      throw new Problem("refused", "The server does not take this browser's address.");
    });
  }
  return true;
}

/**
 * No more messages to this browser. The browser forgets even where the server cannot be told: the push service tells it.
 *
 * @param {ServiceWorkerRegistration} registration
 * @param {string} csrf
 */
export async function unsubscribe(registration, csrf) {
  const subscription = await registration.pushManager.getSubscription();
  if (subscription) {
    const address = encodeURIComponent(JSON.stringify(subscription));
    const headers = { "X-CSRFToken": csrf };
    await ask(`/api/v1/messenger/devices/${address}`, { method: "DELETE", headers }).catch(() => {});
    await subscription.unsubscribe();
  }
  await forget();
}

/** @param {ServiceWorkerRegistration} registration @param {string} key @param {number} timeout_s */
async function subscriptionFor(registration, key, timeout_s) {
  const { pushManager } = registration;
  const old = await pushManager.getSubscription();
  if (old && !isMadeWith(old, key)) await old.unsubscribe();
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Problem("push_service_silent", SILENT)), timeout_s * 1000);
  });
  try {
    const asked = pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
    return /** @type {PushSubscription} */ (await Promise.race([asked, late]));
  } catch (error) {
    if (error instanceof Problem) throw error;
    if (error instanceof DOMException && error.name === "NotAllowedError") throw new Problem("denied", BLOCKED);
    throw new Problem("push_service", `The browser's push service refused: ${/** @type {Error} */ (error).message}`);
  }
}

/** @param {PushSubscription} subscription @param {string} key base64url */
function isMadeWith(subscription, key) {
  const own = new Uint8Array(subscription.options.applicationServerKey ?? new ArrayBuffer(0));
  return btoa(String.fromCharCode(...own)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "") === key;
}

/**
 * @param {PushSubscription} subscription
 * @param {string} person
 * @param {Registered | undefined} known  the device that this browser is; undefined: the server names a new one
 * @param {() => Promise<PushSubscription>} another  for an address that was somebody else's in this browser
 * @returns {Promise<Registered>}
 */
async function register(subscription, person, known, another) {
  const device = known ? { device_id: known.device_id } : {};
  let response = await hand(subscription, device);
  if (response.status === 403 && known) response = await hand(subscription, {}); // that device is no longer ours
  if (response.status === 409) {
    subscription = await another();
    response = await hand(subscription, device);
  }
  if (response.status === 401 || response.status === 403) throw new Problem("signed_out", SIGNED_OUT);
  if (response.status !== 201) throw new Problem("refused", `The server did not take the subscription (${response.status}).`);
  const { device_id } = await response.json();
  const fact = { device_id, person, endpoint: subscription.endpoint };
  await keepRegistered(fact);
  return fact;
}

/** @param {PushSubscription} subscription @param {{device_id?: string}} device */
function hand(subscription, device) {
  const device_info = { platform: "web", name: browserName() };
  const body = { platform: "web_push", device_token: JSON.stringify(subscription), device_info, ...device };
  const headers = { "Content-Type": "application/json" };
  return ask("/api/v1/push/subscribe", { method: "POST", headers, body: JSON.stringify(body) });
}

/** @returns {Promise<string>} the VAPID public key, base64url */
async function serverKey() {
  const response = await ask("/api/v1/push/vapid-public-key", {});
  if (response.ok) return (await response.json()).publicKey;
  if (response.status !== 503) throw new Problem("server", `The server answered ${response.status}. Try again later.`);
  throw new Problem("no_key", "This server has no Web Push key. Its operator has to set one up.");
}

/** @param {string} url @param {RequestInit} request */
async function ask(url, request) {
  try {
    return await fetch(url, { ...request, signal: AbortSignal.timeout(SERVER_S * 1000) });
  } catch {
    throw new Problem("offline", OFFLINE);
  }
}

/** By which a technician knows this browser: "Firefox on Linux". */
function browserName() {
  const agent = navigator.userAgent;
  const named = ["Edg", "OPR", "Firefox", "Chrome", "Safari"].find((word) => agent.includes(`${word}/`)) ?? "Browser";
  const system = ["Android", "iPhone", "iPad", "Windows", "Mac OS X", "CrOS", "Linux"].find((word) => agent.includes(word));
  const browser = { Edg: "Edge", OPR: "Opera" }[named] ?? named;
  return system ? `${browser} on ${system === "Mac OS X" ? "macOS" : system}` : browser;
}
