package androidx.core.app

import android.app.Notification
import android.app.PendingIntent
import android.app.Service
import android.content.Context

object NotificationCompat {
    class Builder(context: Context, channelId: String) {
        fun setSmallIcon(icon: Int): Builder = TODO()
        fun setContentTitle(title: CharSequence?): Builder = TODO()
        fun setContentText(text: CharSequence?): Builder = TODO()
        fun setAutoCancel(autoCancel: Boolean): Builder = TODO()
        fun setOngoing(ongoing: Boolean): Builder = TODO()
        fun setContentIntent(intent: PendingIntent?): Builder = TODO()
        fun build(): Notification = TODO()
    }
}

object ServiceCompat {
    fun startForeground(service: Service, id: Int, notification: Notification, foregroundServiceType: Int): Unit = TODO()
}
