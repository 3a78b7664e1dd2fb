package org.eclipse.paho.client.mqttv3

interface MqttClientPersistence

interface IMqttToken {
    fun waitForCompletion()
}

interface IMqttDeliveryToken : IMqttToken

class MqttException : Exception()

class MqttMessage {
    var payload: ByteArray = ByteArray(0)
}

interface MqttCallback {
    fun connectionLost(cause: Throwable?)
    fun messageArrived(topic: String, message: MqttMessage)
    fun deliveryComplete(token: IMqttDeliveryToken?)
}

interface MqttCallbackExtended : MqttCallback {
    fun connectComplete(reconnect: Boolean, serverURI: String?)
}

class MqttConnectOptions {
    var isCleanSession: Boolean = true
    var isAutomaticReconnect: Boolean = false
    var userName: String? = null
    var password: CharArray? = null
    var keepAliveInterval: Int = 60
}

class MqttAsyncClient(serverURI: String, clientId: String, persistence: MqttClientPersistence?) {
    fun setCallback(callback: MqttCallback?): Unit = TODO()
    fun connect(options: MqttConnectOptions): IMqttToken = TODO()
    fun subscribe(topics: Array<String>, qos: IntArray): IMqttToken = TODO()
    fun publish(topic: String, payload: ByteArray, qos: Int, retained: Boolean): IMqttDeliveryToken = TODO()
    fun disconnectForcibly(quiesceTimeout: Long, disconnectTimeout: Long): Unit = TODO()
}
