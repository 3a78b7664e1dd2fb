// How a peer is asked: the question of question.py on standard input, how long it took on standard output.
import { json } from 'node:stream/consumers'

export function read() {
  return json(process.stdin)
}

// Have numbered messages sent, `window` of them together, and tell how long all but the first took.
export async function time({ warm_up, messages, window }, send) {
  await all(0, warm_up, window, send)
  const began = performance.now()
  await all(warm_up, warm_up + messages, window, send)
  console.log(JSON.stringify({ seconds: (performance.now() - began) / 1000 }))
}

async function all(first, end, window, send) {
  let next = first
  async function sender() {
    while (next < end) await send(next++)
  }
  await Promise.all(Array.from({ length: window }, sender))
}
