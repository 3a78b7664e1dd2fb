package org.homepot.client

import android.content.BroadcastReceiver
import android.content.Context
import android.content.Intent

/** After a restart of the device, and after an update of the app: receive again, with no screen open. */
class BootReceiver : BroadcastReceiver() {
    override fun onReceive(context: Context, intent: Intent) {
        Notifications.makeChannels(context)
        Homepot.of(context)?.chooseWayIn()
    }
}
