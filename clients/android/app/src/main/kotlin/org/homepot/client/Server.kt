package org.homepot.client

import java.io.IOException
import java.net.HttpURLConnection
import java.net.URL
import java.time.Instant
import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject

/** Who this device is: given once, when it is provisioned. The key is shown never again. */
data class Identity(val serverUrl: String, val siteId: String, val deviceId: String, val apiKey: String)

/** An answer that would come again, such as 401 for a revoked key. */
class Refused(val status: Int, text: String) : Exception("$status: $text")

/** The server's API. Every call blocks: not for the main thread. `IOException` means: try again later. */
class Server(private val identity: Identity) {
    /** Make `address` this device's way in by `provider`; again, it changes nothing. */
    fun register(provider: String, address: String, rank: Int, hasGms: Boolean) {
        val capabilities = JSONObject().put("has_gms", hasGms)
        val body = JSONObject().put("address", address).put("rank", rank).put("capabilities", capabilities)
        call("PUT", "/devices/${identity.deviceId}/channels/$provider", body.toString())
    }

    /** Returns those that the server has, or that it will never take. */
    fun ack(acks: List<Ack>): List<Ack> {
        val body = JSONArray(acks.map { it.toJson() })
        val results = JSONObject(call("POST", "/push/ack/batch", body.toString())).getJSONArray("results")
        return acks.take(results.length())
    }

    /** What waits for this device: the last resort when no push came through. */
    fun inbox(): List<Message> {
        val pushes = JSONObject(call("GET", "/push/pending")).getJSONArray("pushes")
        return (0 until pushes.length()).mapNotNull { Message.of(pushes.getJSONObject(it).getJSONObject("payload")) }
    }

    /** Tells that the device is there, and what time it believes it is. */
    fun heartbeat() {
        val body = JSONObject()
            .put("device_id", identity.deviceId)
            .put("site_id", identity.siteId)
            .put("status", "ONLINE")
            .put("timestamp", Instant.now().toString())
        call("POST", "/agent/heartbeat", body.toString())
    }

    private fun call(method: String, path: String, body: String? = null): String {
        val proof = mapOf("X-Device-ID" to identity.deviceId, "X-API-Key" to identity.apiKey)
        return call(identity.serverUrl, method, path, body, proof)
    }

    companion object {
        private const val TIMEOUT_MS = 10_000
        private val FINAL = setOf(400, 401, 403, 404, 409, 413, 422)

        /** Become a device of this site. After a lost answer: call it again with the same name. */
        fun provision(serverUrl: String, siteId: String, bootstrapKey: String, name: String): Identity {
            val body = JSONObject()
                .put("site_id", siteId)
                .put("bootstrap_key", bootstrapKey)
                .put("device_name", name)
                .put("device_type", "pos_terminal")
            val answer = call(serverUrl, "POST", "/devices/bootstrap-provision", body.toString(), emptyMap())
            val data = JSONObject(answer).getJSONObject("data")
            return Identity(serverUrl, siteId, data.getString("device_id"), data.getString("api_key"))
        }

        private fun call(
            serverUrl: String, method: String, path: String, body: String?, headers: Map<String, String>,
        ): String {
            val connection = URL("$serverUrl/api/v1$path").openConnection() as HttpURLConnection
            try {
                connection.requestMethod = method
                connection.connectTimeout = TIMEOUT_MS
                connection.readTimeout = TIMEOUT_MS
                connection.instanceFollowRedirects = false
                headers.forEach(connection::setRequestProperty)
                if (body != null) {
                    connection.doOutput = true
                    connection.setRequestProperty("Content-Type", "application/json")
                    connection.outputStream.use { it.write(body.encodeToByteArray()) }
                }
                return answer(connection)
            } catch (unreadable: JSONException) {
                throw IOException("not the server's answer", unreadable)
            } finally {
                connection.disconnect()
            }
        }

        private fun answer(connection: HttpURLConnection): String {
            val status = connection.responseCode
            if (status in 200..299) return connection.inputStream.use { it.readBytes().decodeToString() }
            val text = connection.errorStream?.use { it.readBytes().decodeToString() }.orEmpty()
            if (status in FINAL) throw Refused(status, text)
            throw IOException("the server answered $status")
        }
    }
}
