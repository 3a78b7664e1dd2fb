package android.app

import android.content.Context
import android.content.Intent
import android.os.Bundle

open class Activity : Context() {
    var title: CharSequence? = null
    val intent: Intent = TODO()
    open fun onCreate(savedInstanceState: Bundle?): Unit = TODO()
    open fun onNewIntent(intent: Intent): Unit = TODO()
    fun requestPermissions(permissions: Array<String>, requestCode: Int): Unit = TODO()
    fun runOnUiThread(action: Runnable): Unit = TODO()
}

abstract class Service : Context() {
    abstract fun onBind(intent: Intent?): android.os.IBinder?
    open fun onStartCommand(intent: Intent?, flags: Int, startId: Int): Int = TODO()
    open fun onDestroy(): Unit = TODO()
    fun stopSelf(): Unit = TODO()

    companion object {
        const val START_STICKY = 1
        const val START_NOT_STICKY = 2
    }
}

class Notification

class NotificationChannel(id: String, name: CharSequence, importance: Int)

class NotificationManager {
    fun createNotificationChannel(channel: NotificationChannel): Unit = TODO()
    fun notify(tag: String?, id: Int, notification: Notification): Unit = TODO()

    companion object {
        const val IMPORTANCE_MIN = 1
        const val IMPORTANCE_HIGH = 4
    }
}

class PendingIntent {
    companion object {
        const val FLAG_IMMUTABLE = 1 shl 26
        const val FLAG_UPDATE_CURRENT = 1 shl 27
        fun getActivity(context: Context, requestCode: Int, intent: Intent, flags: Int): PendingIntent = TODO()
    }
}
