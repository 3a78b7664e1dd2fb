package org.homepot.client

import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import org.json.JSONException
import org.json.JSONObject

/** Acks that the server does not have yet: a file for each, so that neither a kill nor a power cut costs one. */
class AckSpool(private val folder: File) {
    init {
        folder.mkdirs()
    }

    @Synchronized
    @Throws(IOException::class)
    fun add(ack: Ack) {
        val file = file(ack)
        val unfinished = File(folder, "${file.name}$UNFINISHED")
        FileOutputStream(unfinished).use {
            it.write(ack.toJson().toString().encodeToByteArray())
            it.fd.sync()
        }
        if (!unfinished.renameTo(file)) throw IOException("cannot keep ${file.name}")
    }

    /** The oldest first: ids begin with the time. */
    @Synchronized
    fun waiting(limit: Int): List<Ack> =
        folder.listFiles().orEmpty().filterNot { it.name.endsWith(UNFINISHED) }.sortedBy { it.name }.take(limit)
            .mapNotNull(::read)

    @Synchronized
    fun drop(acks: Collection<Ack>) = acks.forEach { file(it).delete() }

    /** What the server says it has, by message. */
    @Synchronized
    fun dropMessages(ids: Set<String>) = drop(waiting(Int.MAX_VALUE).filter { it.messageId in ids })

    private fun read(file: File): Ack? = try {
        Ack.of(JSONObject(file.readText()))
    } catch (_: JSONException) {
        file.delete()
        null
    }

    private fun file(ack: Ack) = File(folder, "${ack.messageId}.${ack.status}")

    private companion object {
        const val UNFINISHED = ".new"
    }
}
