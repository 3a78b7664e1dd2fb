package org.homepot.client

import org.json.JSONException
import org.json.JSONObject

/** What the server sends, whichever way it came. */
data class Message(
    val id: String,
    /** Empty: nothing to ack, such as the challenge of a registration. */
    val ackToken: String,
    val title: String,
    val body: String,
    val data: JSONObject,
) {
    companion object {
        /** Of MQTT and of the inbox. Null for what is no message of ours. */
        fun of(json: JSONObject): Message? {
            val id = json.optString("message_id")
            if (!ID.matches(id)) return null
            val data = json.optJSONObject("data") ?: JSONObject()
            return Message(id, json.optString("ack_token"), json.optString("title"), json.optString("body"), data)
        }

        /** Of FCM, which carries strings alone: `data` is JSON in one of them. */
        fun of(fields: Map<String, String>): Message? {
            val json = JSONObject(fields)
            json.put("data", parsed(fields["data"].orEmpty()))
            return of(json)
        }

        fun of(bytes: ByteArray): Message? = parsed(bytes.decodeToString())?.let(::of)

        private fun parsed(text: String): JSONObject? = try {
            JSONObject(text)
        } catch (_: JSONException) {
            null
        }

        private val ID = Regex("[0-9A-Fa-f-]{36}")
    }
}

/** That this device has a message. `receivedAt` is ISO-8601 by this device's clock. */
data class Ack(val messageId: String, val token: String, val status: String, val receivedAt: String) {
    fun toJson(): JSONObject = JSONObject()
        .put("message_id", messageId)
        .put("ack_token", token)
        .put("status", status)
        .put("received_at", receivedAt)

    companion object {
        fun of(json: JSONObject) = Ack(
            json.getString("message_id"),
            json.getString("ack_token"),
            json.getString("status"),
            json.getString("received_at"),
        )
    }
}
