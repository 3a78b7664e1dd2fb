// Sends texts to a subscription, one after the other; prints the statuses. Any status but 2xx ends it.
import { Agent } from 'node:https'
import { json } from 'node:stream/consumers'
import webpush from 'web-push'

const { subscription, texts, options, ca } = await json(process.stdin)
const agent = new Agent({ ca })
const statuses = []
for (const text of texts) {
  const { statusCode } = await webpush.sendNotification(subscription, text, { ...options, agent })
  statuses.push(statusCode)
}

console.log(JSON.stringify(statuses))
