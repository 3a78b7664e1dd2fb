package org.homepot.client

import com.google.firebase.messaging.FirebaseMessagingService
import com.google.firebase.messaging.RemoteMessage

/**
 * FCM calls this on a thread of its own, with about 20 s to spend, also when the app was not running.
 *
 * Only for data messages while the app is in the background: an order for Android says `"data_only": true`, else the
 * system shows the notification by itself, and no code runs until it is tapped.
 */
class PushService : FirebaseMessagingService() {
    override fun onMessageReceived(remote: RemoteMessage) {
        val homepot = Homepot.of(this) ?: return
        val message = Message.of(remote.data) ?: return
        homepot.receiver.receive(message)
        if (!homepot.receiver.sendAcks()) homepot.sendLater()
    }

    /** FCM dropped what waited (more than 100, or the app was away for long): the inbox has it. */
    override fun onDeletedMessages() {
        Homepot.of(this)?.sendLater()
    }

    override fun onNewToken(token: String) {
        Homepot.of(this)?.useFcm(token)
    }
}
