/**
 * Telling the server that a message is here. An ack is kept until the server has it: it may be sent ten times over.
 *
 * @typedef {import("./store.js").Ack} Ack
 */

import { dropAcks, keepAck, waitingAcks } from "./store.js";

const ACK_URL = "/api/v1/push/ack";
const BATCH_URL = "/api/v1/push/ack/batch";
const BATCH = 100;
const TIMEOUT_MS = 10_000;
/** Statuses that would come again: the proof is wrong, or the form. */
const REFUSED = [401, 422];
export const SYNC_TAG = "acks";

/**
 * Ack one message now; where that fails, keep the ack. Never throws.
 *
 * @param {{message_id: string, ack_token: string, received_at: string}} message
 * @param {"delivered" | "opened" | "clicked"} status
 * @returns {Promise<boolean>}  whether the server has it
 */
export async function ack(message, status) {
  if (!message.ack_token) return true;
  const { message_id, ack_token, received_at } = message;
  /** @type {Ack} */
  const entry = { message_id, status, received_at, ack_token, platform: "web_push" };
  const kept = keepAck(entry).catch(() => {}); // beside the sending: a worker may be ended at any moment
  const settled = await sent(entry);
  await kept;
  if (settled) await dropAcks([entry]).catch(() => {});
  return settled;
}

/**
 * Send what waits, the oldest ids first. Never throws.
 *
 * @returns {Promise<boolean>}  whether nothing waits any more
 */
export async function sendWaitingAcks() {
  try {
    for (;;) {
      const waiting = await waitingAcks(BATCH);
      if (!waiting.length) return true;
      const response = await post(BATCH_URL, waiting);
      const { results } = await response.json();
      if (!response.ok || results.length !== waiting.length) return false;
      await dropAcks(waiting); // a rejected one, too: it would be rejected again
    }
  } catch {
    return false;
  }
}

/** @param {Ack} entry @returns {Promise<boolean>} whether it need not be sent again */
async function sent(entry) {
  try {
    const response = await post(ACK_URL, entry);
    if (REFUSED.includes(response.status)) return true;
    return response.ok && (await response.json()).status === "acknowledged";
  } catch {
    return false;
  }
}

/** @param {string} url @param {unknown} body */
function post(url, body) {
  return fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    credentials: "omit", // the token in the message is the proof
    redirect: "error",
    keepalive: true,
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
}
