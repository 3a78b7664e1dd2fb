import Foundation

/// What the server sends, whichever way it came.
struct Message: Sendable {
    let id: UUID
    /// Empty: nothing to ack, such as the challenge of a registration.
    let ackToken: String
    let title: String
    let body: String

    /// Nil for what is no message of ours: a push may carry anything.
    init?(_ payload: [AnyHashable: Any]) {
        guard let id = (payload["message_id"] as? String).flatMap(UUID.init) else { return nil }
        self.id = id
        ackToken = payload["ack_token"] as? String ?? ""
        title = payload["title"] as? String ?? ""
        body = payload["body"] as? String ?? ""
    }

    /// Of MQTT and of the inbox.
    init?(json: Data) {
        guard let payload = try? JSONSerialization.jsonObject(with: json) as? [AnyHashable: Any] else { return nil }
        self.init(payload)
    }
}

/// That this device has a message.
struct Ack: Codable, Sendable {
    enum Status: String, Codable {
        case delivered, clicked
    }

    let messageID: String
    let token: String
    let status: Status
    /// By this device's clock.
    let receivedAt: Date

    enum CodingKeys: String, CodingKey {
        case messageID = "message_id"
        case token = "ack_token"
        case status
        case receivedAt = "received_at"
    }

    /// Nil where there is nothing to ack.
    init?(_ message: Message, _ status: Status, at now: Date = .now) {
        guard !message.ackToken.isEmpty else { return nil }
        messageID = message.id.uuidString.lowercased()
        token = message.ackToken
        self.status = status
        receivedAt = now
    }
}
