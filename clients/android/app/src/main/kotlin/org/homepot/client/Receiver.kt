package org.homepot.client

import java.io.IOException
import java.time.Instant

/** Takes messages from every side, once each, and acks them all. */
class Receiver(
    private val server: Server,
    private val spool: AckSpool,
    private val seen: SeenIds,
    private val show: (Message) -> Unit,
) {
    /** Keep the ack, then show. A message that comes again is acked again, and not shown. */
    fun receive(message: Message): Ack? {
        val ack = if (message.ackToken.isEmpty()) null else acked(message.id, message.ackToken, "delivered")
        if (seen.add(message.id)) show(message)
        return ack
    }

    /** The person tapped its notification. */
    fun clicked(messageId: String, token: String) {
        acked(messageId, token, "clicked")
    }

    /** Send what waits. Returns whether nothing does any more. */
    fun sendAcks(): Boolean {
        try {
            while (true) {
                val waiting = spool.waiting(BATCH)
                if (waiting.isEmpty()) return true
                val settled = server.ack(waiting)
                if (settled.isEmpty()) return false
                spool.drop(settled)
            }
        } catch (_: IOException) {
            return false
        } catch (_: Refused) {
            return false // a revoked key, a suspended device: a technician has to act
        }
    }

    /** Fetch what no push brought. */
    fun drainInbox() {
        var fresh: List<Message>
        do {
            fresh = server.inbox()
            fresh.forEach(::receive)
        } while (fresh.isNotEmpty() && sendAcks()) // what is acked is not in the inbox any more
    }

    private fun acked(messageId: String, token: String, status: String): Ack {
        val ack = Ack(messageId, token, status, Instant.now().toString())
        spool.add(ack)
        return ack
    }

    private companion object {
        const val BATCH = 100
    }
}
