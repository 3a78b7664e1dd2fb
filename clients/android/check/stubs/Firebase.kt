package com.google.firebase.messaging

import android.app.Service
import android.content.Intent
import android.os.IBinder
import com.google.android.gms.tasks.Task

class FirebaseMessaging {
    val token: Task<String> get() = TODO()

    companion object {
        fun getInstance(): FirebaseMessaging = TODO()
    }
}

open class FirebaseMessagingService : Service() {
    final override fun onBind(intent: Intent?): IBinder? = TODO()
    open fun onMessageReceived(remote: RemoteMessage): Unit = TODO()
    open fun onDeletedMessages(): Unit = TODO()
    open fun onNewToken(token: String): Unit = TODO()
}

class RemoteMessage {
    val data: Map<String, String> get() = TODO()
}
