package org.homepot.client

import android.content.Context
import java.io.File
import org.json.JSONObject

/** Keeps the device's key where no other app and no backup reads it. */
class IdentityFile(context: Context) {
    private val file = File(context.noBackupFilesDir, "identity.json")

    fun read(): Identity? {
        if (!file.exists()) return null
        val kept = JSONObject(file.readText())
        return Identity(
            kept.getString("server_url"),
            kept.getString("site_id"),
            kept.getString("device_id"),
            kept.getString("api_key"),
        )
    }

    fun write(identity: Identity) {
        val kept = JSONObject()
            .put("server_url", identity.serverUrl)
            .put("site_id", identity.siteId)
            .put("device_id", identity.deviceId)
            .put("api_key", identity.apiKey)
        val unfinished = File(file.path + ".new")
        unfinished.writeText(kept.toString())
        check(unfinished.renameTo(file)) { "cannot keep the identity" }
    }
}
