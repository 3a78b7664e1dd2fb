package org.homepot.client

import android.app.Service
import android.content.Context
import android.content.Intent
import android.content.pm.ServiceInfo
import android.os.IBinder
import androidx.core.app.ServiceCompat
import java.util.concurrent.Executors
import java.util.concurrent.ScheduledExecutorService
import java.util.concurrent.TimeUnit
import org.eclipse.paho.client.mqttv3.IMqttDeliveryToken
import org.eclipse.paho.client.mqttv3.MqttAsyncClient
import org.eclipse.paho.client.mqttv3.MqttCallbackExtended
import org.eclipse.paho.client.mqttv3.MqttConnectOptions
import org.eclipse.paho.client.mqttv3.MqttException
import org.eclipse.paho.client.mqttv3.MqttMessage
import org.eclipse.paho.client.mqttv3.persist.MqttDefaultFilePersistence
import org.json.JSONArray
import org.json.JSONObject

/**
 * For devices without Google's services: holds one connection to the broker for as long as the device is on.
 *
 * The session is persistent and everything is QoS 1, so the broker keeps what comes while the device is away. An ack
 * goes out over the same connection and stays in the spool until `acks/done` names it.
 */
class MqttService : Service() {
    private lateinit var homepot: Homepot
    private lateinit var client: MqttAsyncClient
    private val worker: ScheduledExecutorService = Executors.newSingleThreadScheduledExecutor()

    override fun onBind(intent: Intent?): IBinder? = null

    override fun onStartCommand(intent: Intent?, flags: Int, startId: Int): Int {
        val type = ServiceInfo.FOREGROUND_SERVICE_TYPE_SPECIAL_USE
        ServiceCompat.startForeground(this, Notifications.CONNECTED_ID, Notifications.connected(this), type)
        if (::client.isInitialized) return START_STICKY
        homepot = Homepot.of(this) ?: return START_NOT_STICKY.also { stopSelf() }
        client = MqttAsyncClient(
            BROKER_URL, homepot.identity.deviceId, MqttDefaultFilePersistence(noBackupFilesDir.path),
        )
        client.setCallback(Callback())
        worker.execute(::connect)
        worker.scheduleWithFixedDelay(::beat, 0, HEARTBEAT_S, TimeUnit.SECONDS)
        return START_STICKY
    }

    override fun onDestroy() {
        worker.shutdownNow()
        if (::client.isInitialized) client.disconnectForcibly(DISCONNECT_MS, DISCONNECT_MS)
    }

    private fun connect() {
        val options = MqttConnectOptions().apply {
            isCleanSession = false
            isAutomaticReconnect = true // once connected; before that, see below
            userName = homepot.identity.deviceId
            password = homepot.identity.apiKey.toCharArray()
            keepAliveInterval = KEEP_ALIVE_S
        }
        try {
            client.connect(options).waitForCompletion()
        } catch (_: MqttException) {
            worker.schedule(::connect, CONNECT_AGAIN_S, TimeUnit.SECONDS)
        }
    }

    private fun beat() {
        try {
            homepot.server.heartbeat()
            homepot.receiver.sendAcks()
        } catch (_: Exception) {
            // offline, or suspended: the next beat tries again, and a schedule that throws would end
        }
    }

    private inner class Callback : MqttCallbackExtended {
        override fun connectComplete(reconnect: Boolean, serverURI: String?) {
            val topics = arrayOf(topic("notifications"), topic("commands"), topic("acks/done"))
            client.subscribe(topics, intArrayOf(1, 1, 1))
            worker.execute { homepot.spool.waiting(MAX_RESENT).forEach(::publish) }
        }

        /** Paho confirms to the broker when this returns: the ack is in the spool by then. */
        override fun messageArrived(topic: String, message: MqttMessage) {
            when (topic) {
                topic("acks/done") -> homepot.spool.dropMessages(ids(message.payload))
                topic("commands") -> homepot.sendLater() // a wake-up: see what waits
                else -> Message.of(message.payload)?.let(homepot.receiver::receive)?.let {
                    worker.execute { publish(it) }
                }
            }
        }

        override fun connectionLost(cause: Throwable?) = Unit // it connects again by itself

        override fun deliveryComplete(token: IMqttDeliveryToken?) = Unit // the broker's word; the server's is acks/done
    }

    private fun publish(ack: Ack) {
        try {
            client.publish(topic("acks"), ack.toJson().toString().encodeToByteArray(), 1, false)
        } catch (_: MqttException) {
            // not connected: it is in the spool, and goes out by HTTP or after the next connect
        }
    }

    private fun topic(name: String) = "devices/${homepot.identity.deviceId}/$name"

    private fun ids(payload: ByteArray): Set<String> {
        val ids = JSONObject(payload.decodeToString()).optJSONArray("message_ids") ?: JSONArray()
        return (0 until ids.length()).mapTo(HashSet(), ids::getString)
    }

    companion object {
        const val BROKER_URL = BuildConfig.MQTT_URL
        private const val KEEP_ALIVE_S = 60
        private const val HEARTBEAT_S = 30L
        private const val CONNECT_AGAIN_S = 10L
        private const val DISCONNECT_MS = 1_000L
        private const val MAX_RESENT = 100
    }
}
