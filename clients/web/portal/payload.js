/**
 * Reading what a push carries. Nothing here throws: a push may be empty, broken, or from somebody else's server.
 *
 * @typedef {object} Message
 * @property {string} message_id
 * @property {string} ack_token    empty: nothing to ack (a challenge, a message of another program)
 * @property {string} title
 * @property {string} body
 * @property {string} url          where a click leads, on this site
 * @property {NotificationOptions | null} shown    null: for the program alone
 * @property {string} received_at  ISO-8601, this browser's clock
 */

const HOME = "/portal/";
const OPTIONS = ["body", "icon", "image", "badge", "tag", "actions", "silent", "renotify", "requireInteraction", "vibrate", "lang", "dir"];

/**
 * @param {{text(): string} | null} data  of a push event
 * @param {Date} now
 * @returns {Message | null}  null for what carries no message of ours
 */
export function readMessage(data, now) {
  const payload = asObject(parsed(data));
  const message_id = text(payload.message_id);
  if (!message_id) return null;
  const notification = asObject(payload.notification);
  const title = text(notification.title) || text(payload.title);
  const body = text(notification.body) || text(payload.body);
  const ack_token = text(payload.ack_token);
  const url = ownUrl(text(asObject(payload.data).url));
  const message = { message_id, ack_token, title, body, url, received_at: now.toISOString() };
  return { ...message, shown: title || body ? options(notification, { ...message }) : null };
}

/**
 * @param {Record<string, unknown>} notification
 * @param {Omit<Message, "shown">} message  goes into the notification: the worker that hears of a click is a new one
 * @returns {NotificationOptions}
 */
function options(notification, message) {
  const given = Object.entries(notification).filter(([name, value]) => OPTIONS.includes(name) && value != null);
  return { ...Object.fromEntries(given), body: message.body, data: message };
}

/** @param {{text(): string} | null} data @returns {unknown} */
function parsed(data) {
  try {
    return JSON.parse(data ? data.text() : "");
  } catch {
    return null;
  }
}

/** @param {unknown} value @returns {Record<string, unknown>} */
function asObject(value) {
  return value !== null && typeof value === "object" ? /** @type {Record<string, unknown>} */ (value) : {};
}

/** @param {unknown} value */
function text(value) {
  return typeof value === "string" ? value : "";
}

/** A push may lead to a page of this site and nowhere else. @param {string} url */
function ownUrl(url) {
  try {
    const target = new URL(url || HOME, self.location.origin);
    return target.origin === self.location.origin ? target.href : HOME;
  } catch {
    return HOME;
  }
}
