// web-push: `sendNotification` on kept connections, as many on their way as the product's window.
import { readFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { createPrivateKey } from 'node:crypto'
import webpush from 'web-push'
import { read, time } from './question.mjs'

const question = await read()
const { d, x, y } = createPrivateKey(readFileSync(question.credential.private_key)).export({ format: 'jwk' })
const publicKey = Buffer.concat([Buffer.from([4]), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')])
const options = {
  vapidDetails: { subject: question.credential.subject, publicKey: publicKey.toString('base64url'), privateKey: d },
  agent: new Agent({ ca: readFileSync(question.credential.ca_file), keepAlive: true, maxSockets: question.window }),
  TTL: 86400,
}
const text = JSON.stringify({ title: question.title, body: question.body, ...question.data })

await time(question, (number) => {
  const subscription = JSON.parse(question.addresses[number % question.addresses.length])
  return webpush.sendNotification(subscription, text, options)
})
options.agent.destroy()
