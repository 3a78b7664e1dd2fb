import CocoaMQTT
import Foundation

/// The way in where APNs is not: one connection to the broker while the app is in front. iOS cuts it in the background,
/// where the broker keeps what comes (the session is persistent, everything is QoS 1).
final class MqttLink: NSObject, CocoaMQTTDelegate {
    private var client: CocoaMQTT?
    private var receiver: Receiver?

    func start(_ receiver: Receiver) {
        let given = Bundle.main.object(forInfoDictionaryKey: "Homepot") as? [String: String] ?? [:]
        guard client == nil, let broker = given["MqttHost"] else { return }
        let identity = receiver.server.identity
        let client = CocoaMQTT(clientID: identity.deviceID, host: broker, port: 8883)
        client.username = identity.deviceID
        client.password = identity.apiKey
        client.enableSSL = true
        client.cleanSession = false
        client.autoReconnect = true
        client.keepAlive = 60 // s
        client.delegate = self
        self.client = client
        self.receiver = receiver
        _ = client.connect()
    }

    func stop() {
        client?.autoReconnect = false
        client?.disconnect()
        client = nil
    }

    func mqtt(_ mqtt: CocoaMQTT, didConnectAck ack: CocoaMQTTConnAck) {
        guard ack == .accept else { return }
        mqtt.subscribe([(topic("notifications"), .qos1), (topic("commands"), .qos1)])
        Task { await receiver?.sendAcks() }
    }

    /// The ack is kept before it is sent; it goes out over HTTP, which works wherever this connection does.
    func mqtt(_ mqtt: CocoaMQTT, didReceiveMessage arrived: CocoaMQTTMessage, id: UInt16) {
        guard let receiver, let message = Message(json: Data(arrived.payload)) else { return }
        let isNew = receiver.receive(message)
        Task {
            if isNew { await AppDelegate.show(message) }
            await receiver.sendAcks()
        }
    }

    func mqtt(_ mqtt: CocoaMQTT, didPublishMessage message: CocoaMQTTMessage, id: UInt16) {}
    func mqtt(_ mqtt: CocoaMQTT, didPublishAck id: UInt16) {}
    func mqtt(_ mqtt: CocoaMQTT, didSubscribeTopics success: NSDictionary, failed: [String]) {}
    func mqtt(_ mqtt: CocoaMQTT, didUnsubscribeTopics topics: [String]) {}
    func mqttDidPing(_ mqtt: CocoaMQTT) {}
    func mqttDidReceivePong(_ mqtt: CocoaMQTT) {}
    func mqttDidDisconnect(_ mqtt: CocoaMQTT, withError error: Error?) {}

    private func topic(_ name: String) -> String {
        "devices/\(receiver?.server.identity.deviceID ?? "")/\(name)"
    }
}
