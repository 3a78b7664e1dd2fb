package org.homepot.client

import android.content.Context
import android.content.Intent
import androidx.work.BackoffPolicy
import androidx.work.Constraints
import androidx.work.ExistingWorkPolicy
import androidx.work.NetworkType
import androidx.work.OneTimeWorkRequestBuilder
import androidx.work.OutOfQuotaPolicy
import androidx.work.WorkManager
import com.google.android.gms.common.ConnectionResult
import com.google.android.gms.common.GoogleApiAvailability
import com.google.firebase.messaging.FirebaseMessaging
import java.io.File
import java.util.concurrent.TimeUnit

/** What every entry point of the app (a push, the MQTT service, a job, a tap) works with. One for each process. */
class Homepot private constructor(private val context: Context, val identity: Identity) {
    private val folder = context.noBackupFilesDir // private to the app, and never restored onto another device
    val server = Server(identity)
    val spool = AckSpool(File(folder, "acks"))
    val receiver = Receiver(server, spool, SeenIds(File(folder, "seen"))) { Notifications.show(context, it) }

    /** Google's services where there are any, else the broker. Call it at each start: either may have come or gone. */
    fun chooseWayIn() {
        if (hasGoogleServices()) {
            FirebaseMessaging.getInstance().token
                .addOnSuccessListener { token -> useFcm(token) }
                .addOnFailureListener { useMqtt() } // such as SERVICE_NOT_AVAILABLE behind a firewall
        } else {
            useMqtt()
        }
    }

    fun useFcm(token: String) {
        RegisterWorker.enqueue(context, "fcm", token, hasGms = true)
        context.stopService(Intent(context, MqttService::class.java))
        sendLater()
    }

    private fun useMqtt() {
        RegisterWorker.enqueue(context, "mqtt", identity.deviceId, hasGms = false)
        context.startForegroundService(Intent(context, MqttService::class.java))
    }

    /** As soon as there is a network, also after a restart of the device. */
    fun sendLater() {
        val online = Constraints.Builder().setRequiredNetworkType(NetworkType.CONNECTED).build()
        val request = OneTimeWorkRequestBuilder<AckWorker>()
            .setConstraints(online)
            .setBackoffCriteria(BackoffPolicy.EXPONENTIAL, 10, TimeUnit.SECONDS)
            .setExpedited(OutOfQuotaPolicy.RUN_AS_NON_EXPEDITED_WORK_REQUEST)
            .build()
        WorkManager.getInstance(context).enqueueUniqueWork("acks", ExistingWorkPolicy.REPLACE, request)
    }

    private fun hasGoogleServices() =
        GoogleApiAvailability.getInstance().isGooglePlayServicesAvailable(context) == ConnectionResult.SUCCESS

    companion object {
        @Volatile
        private var one: Homepot? = null

        /** Null until the device is provisioned. */
        fun of(context: Context): Homepot? = one ?: synchronized(this) {
            one ?: IdentityFile(context).read()?.let { Homepot(context.applicationContext, it) }.also { one = it }
        }
    }
}
