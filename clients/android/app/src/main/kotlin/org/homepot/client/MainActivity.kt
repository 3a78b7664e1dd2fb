package org.homepot.client

import android.Manifest
import android.app.Activity
import android.content.Intent
import android.os.Build
import android.os.Bundle
import java.io.IOException
import kotlin.concurrent.thread

/** Provisions the device at its first start, and hears of tapped notifications. A real app has its own screens. */
class MainActivity : Activity() {
    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        Notifications.makeChannels(this)
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
            requestPermissions(arrayOf(Manifest.permission.POST_NOTIFICATIONS), 0)
        }
        thread { start() }
        tapped(intent)
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        tapped(intent)
    }

    private fun start() {
        val known = Homepot.of(this)
        if (known != null) return known.chooseWayIn()
        try {
            val name = "${Build.MODEL} ${Build.ID}"
            val (server, site) = BuildConfig.SERVER_URL to BuildConfig.SITE_ID
            IdentityFile(this).write(Server.provision(server, site, BuildConfig.BOOTSTRAP_KEY, name))
            Homepot.of(this)?.chooseWayIn()
        } catch (problem: IOException) {
            runOnUiThread { title = "Not connected: ${problem.message}" } // the next start tries again
        } catch (problem: Refused) {
            runOnUiThread { title = problem.message }
        }
    }

    private fun tapped(intent: Intent) {
        val id = intent.getStringExtra(Notifications.MESSAGE_ID) ?: return
        val token = intent.getStringExtra(Notifications.ACK_TOKEN).orEmpty()
        val homepot = Homepot.of(this) ?: return
        if (token.isNotEmpty()) homepot.receiver.clicked(id, token)
        homepot.sendLater()
    }
}
