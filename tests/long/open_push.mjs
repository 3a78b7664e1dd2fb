// Opens Web Push bodies as a browser does. Binary values are base64url on both sides; null is what does not open.
import { createECDH } from 'node:crypto'
import { json } from 'node:stream/consumers'
import ece from 'http_ece'

const { private_key, secret, bodies } = await json(process.stdin)
const privateKey = createECDH('prime256v1')
privateKey.setPrivateKey(private_key, 'base64url')

function opened(body) {
  try {
    const params = { version: 'aes128gcm', privateKey, authSecret: Buffer.from(secret, 'base64url') }
    return ece.decrypt(Buffer.from(body, 'base64url'), params).toString('base64url')
  } catch {
    return null
  }
}

console.log(JSON.stringify(bodies.map(opened)))
