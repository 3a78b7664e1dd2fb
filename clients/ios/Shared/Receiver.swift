import Foundation

/// Takes messages from every side, once each, and acks them all. In the app and in its extension.
struct Receiver: Sendable {
    let server: Server
    let store: Store

    /// Nil until the device is provisioned.
    init?() {
        guard let identity = Identity.read(), let store = try? Store() else { return nil }
        server = Server(identity: identity)
        self.store = store
    }

    /// Keep the ack. Returns whether the message is new; one that comes again is acked again, and not shown.
    @discardableResult
    func receive(_ message: Message) -> Bool {
        note(message, .delivered)
        return store.isNew(message)
    }

    func note(_ message: Message, _ status: Ack.Status) {
        if let ack = Ack(message, status) {
            try? store.keep(ack) // a full disk: the server sends the message again, to the inbox at last
        }
    }

    /// Send what waits. Returns whether nothing waits any more.
    @discardableResult
    func sendAcks() async -> Bool {
        while true {
            let waiting = store.waiting(limit: 100)
            if waiting.isEmpty { return true }
            guard let settled = try? await server.send(waiting), !settled.isEmpty else { return false }
            store.drop(settled)
        }
    }

    /// Fetch what no push brought. Returns what is new.
    func drainInbox() async -> [Message] {
        var new: [Message] = []
        while let fresh = try? await server.inbox(), !fresh.isEmpty {
            new += fresh.filter(receive)
            if await !sendAcks() { break } // what is acked is not in the inbox any more
        }
        return new
    }
}
