/**
 * What this browser remembers, in IndexedDB: messages, acks that the server does not have yet, and who it is.
 *
 * @typedef {import("./payload.js").Message} Message
 * @typedef {Message & {opened: boolean}} KeptMessage
 * @typedef {{message_id: string, status: string, received_at: string, ack_token: string, platform: string}} Ack
 * @typedef {{device_id: string, person: string, endpoint: string}} Registered
 */

const NAME = "homepot";
const VERSION = 1;
/** The longest that the server lets a message live, so the latest that it can come again. */
const REMEMBERED_MS = 28 * 86_400_000;

/** @type {Promise<IDBDatabase> | null} */
let opening = null;

/** @returns {Promise<IDBDatabase>} */
function database() {
  opening ??= opened().catch((error) => {
    opening = null;
    throw error;
  });
  return opening;
}

/** @returns {Promise<IDBDatabase>} */
function opened() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      const messages = request.result.createObjectStore("messages", { keyPath: "message_id" });
      messages.createIndex("received_at", "received_at");
      request.result.createObjectStore("acks", { keyPath: ["message_id", "status"] });
      request.result.createObjectStore("facts");
    };
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      request.result.onversionchange = () => request.result.close();
      request.result.onclose = () => (opening = null);
      resolve(request.result);
    };
  });
}

/**
 * One transaction over one store; what it wrote is on disk when this resolves.
 *
 * @template T
 * @param {"messages" | "acks" | "facts"} name
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} work  the request whose result counts
 * @returns {Promise<T>}
 */
async function within(name, mode, work) {
  const transaction = (await database()).transaction(name, mode);
  const request = work(transaction.objectStore(name));
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = () => reject(transaction.error ?? request.error);
  });
}

/**
 * Remember a message, and forget those too old to come again.
 *
 * @param {Message} message
 * @returns {Promise<boolean>}  whether it is new; true, too, where the browser cannot remember anything
 */
export async function isNew(message) {
  const { shown, ...kept } = message;
  const forgotten = IDBKeyRange.upperBound(new Date(Date.now() - REMEMBERED_MS).toISOString());
  try {
    await within("messages", "readwrite", (store) => {
      const old = store.index("received_at").openKeyCursor(forgotten);
      old.onsuccess = () => {
        if (!old.result) return;
        store.delete(old.result.primaryKey);
        old.result.continue();
      };
      return store.add({ ...kept, opened: false });
    });
    return true;
  } catch (error) {
    return !(error instanceof DOMException && error.name === "ConstraintError");
  }
}

/**
 * @param {number} count
 * @returns {Promise<KeptMessage[]>}  with something to show, the newest first
 */
export async function latestMessages(count) {
  /** @type {KeptMessage[]} */
  const kept = await within("messages", "readonly", (store) => store.index("received_at").getAll());
  return kept.filter((message) => message.title || message.body).reverse().slice(0, count);
}

/** @param {KeptMessage} message */
export function markOpened(message) {
  return within("messages", "readwrite", (store) => store.put({ ...message, opened: true }));
}

/** @param {Ack} ack */
export function keepAck(ack) {
  return within("acks", "readwrite", (store) => store.put(ack));
}

/** @param {Ack[]} acks */
export function dropAcks(acks) {
  return within("acks", "readwrite", (store) => {
    for (const ack of acks) store.delete([ack.message_id, ack.status]);
    return store.count();
  });
}

/** @param {number} count @returns {Promise<Ack[]>} */
export function waitingAcks(count) {
  return within("acks", "readonly", (store) => store.getAll(undefined, count));
}

/** @returns {Promise<number>} */
export function countWaitingAcks() {
  return within("acks", "readonly", (store) => store.count());
}

/** As whom this browser is registered. @returns {Promise<Registered | undefined>} */
export function registered() {
  return within("facts", "readonly", (store) => store.get("registered"));
}

/** @param {Registered} fact */
export function keepRegistered(fact) {
  return within("facts", "readwrite", (store) => store.put(fact, "registered"));
}

/** Keep nobody's messages in a browser that takes no more; acks still go out. */
export async function forget() {
  await within("facts", "readwrite", (store) => store.delete("registered"));
  await within("messages", "readwrite", (store) => store.clear());
}
