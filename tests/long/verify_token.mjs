// Verifies a JWT at a moment (Unix time) under jose's own rules: {header, claims}, or {refused: jose's code}.
import { json } from 'node:stream/consumers'
import { errors, importSPKI, jwtVerify } from 'jose'

const { token, public_key, algorithm, now_s, rules } = await json(process.stdin)
const key = await importSPKI(public_key, algorithm)
const options = { algorithms: [algorithm], currentDate: new Date(now_s * 1000), ...rules }

async function verdict() {
  try {
    const { protectedHeader, payload } = await jwtVerify(token, key, options)
    return { header: protectedHeader, claims: payload }
  } catch (error) {
    if (error instanceof errors.JOSEError) return { refused: error.code }
    throw error
  }
}

console.log(JSON.stringify(await verdict()))
