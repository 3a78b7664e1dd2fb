package org.homepot.client

import android.app.Notification
import android.app.NotificationChannel
import android.app.NotificationManager
import android.app.PendingIntent
import android.content.Context
import android.content.Intent
import androidx.core.app.NotificationCompat

/** What the person sees. The ack never waits for it: whoever blocks notifications still gets messages. */
object Notifications {
    const val CONNECTED_ID = 1
    const val MESSAGE_ID = "message_id"
    const val ACK_TOKEN = "ack_token"
    private const val MESSAGES = "messages"
    private const val CONNECTION = "connection"

    /** Once, at the start of the app; again, it changes nothing. */
    fun makeChannels(context: Context) {
        val manager = context.getSystemService(NotificationManager::class.java)
        manager.createNotificationChannel(
            NotificationChannel(MESSAGES, "Messages", NotificationManager.IMPORTANCE_HIGH),
        )
        manager.createNotificationChannel(
            NotificationChannel(CONNECTION, "Connection", NotificationManager.IMPORTANCE_MIN),
        )
    }

    fun show(context: Context, message: Message) {
        if (message.title.isEmpty() && message.body.isEmpty()) return // for the program alone
        val tapped = Intent(context, MainActivity::class.java)
            .putExtra(MESSAGE_ID, message.id)
            .putExtra(ACK_TOKEN, message.ackToken)
        val immutable = PendingIntent.FLAG_IMMUTABLE or PendingIntent.FLAG_UPDATE_CURRENT
        val notification = NotificationCompat.Builder(context, MESSAGES)
            .setSmallIcon(R.drawable.ic_message)
            .setContentTitle(message.title)
            .setContentText(message.body)
            .setAutoCancel(true)
            .setContentIntent(PendingIntent.getActivity(context, message.id.hashCode(), tapped, immutable))
            .build()
        context.getSystemService(NotificationManager::class.java).notify(message.id, 0, notification)
    }

    fun connected(context: Context): Notification = NotificationCompat.Builder(context, CONNECTION)
        .setSmallIcon(R.drawable.ic_message)
        .setContentTitle("Ready for messages")
        .setOngoing(true)
        .build()
}
