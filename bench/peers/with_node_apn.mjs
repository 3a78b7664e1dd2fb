// node-apn: one provider, with as many notifications on their way as the product's window.
import { readFileSync } from 'node:fs'
import apn from '@parse/node-apn'
import { read, time } from './question.mjs'

const question = await read()
const { key_file: key, key_id: keyId, team_id: teamId, ca_file, topic } = question.credential
const { hostname: address, port } = new URL(question.url)
const provider = new apn.Provider({
  token: { key, keyId, teamId },
  address,
  port: Number(port),
  ca: readFileSync(ca_file),
  production: true,
})

function notification() {
  const made = new apn.Notification()
  made.payload = { ...question.data }
  made.topic = topic
  made.pushType = 'alert'
  made.priority = 5
  made.expiry = Math.floor(Date.now() / 1000) + 86400
  made.alert = { title: question.title, body: question.body }
  return made
}

await time(question, async (number) => {
  const { failed } = await provider.send(notification(), question.addresses[number % question.addresses.length])
  if (failed.length) throw failed[0].error ?? new Error(failed[0].status)
})
provider.shutdown()
