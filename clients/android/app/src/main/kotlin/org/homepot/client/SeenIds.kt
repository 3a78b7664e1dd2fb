package org.homepot.client

import java.io.File

/** The messages that this device has had: the server sends one again rather than lose it. */
class SeenIds(private val file: File) {
    private val ids: LinkedHashSet<String> = LinkedHashSet(if (file.exists()) file.readLines() else emptyList())

    /** Remember this one. Returns whether it is new. */
    @Synchronized
    fun add(id: String): Boolean {
        if (!ids.add(id)) return false
        if (ids.size > 2 * KEPT) {
            val latest = ids.toList().takeLast(KEPT)
            ids.clear()
            ids.addAll(latest)
            file.writeText(latest.joinToString("") { "$it\n" })
        } else {
            file.appendText("$id\n")
        }
        return true
    }

    private companion object {
        const val KEPT = 2_000
    }
}
