import Foundation

/// An answer that would come again, such as 401 for a revoked key. Every other error means: try again later.
struct Refused: Error {
    let status: Int
    let text: String
}

/// The server's API.
struct Server: Sendable {
    let identity: Identity

    /// Become a device of this site. After a lost answer: call it again with the same name.
    static func provision(server: URL, site: String, bootstrapKey: String, name: String) async throws -> Identity {
        struct Wish: Encodable {
            let site_id, bootstrap_key, device_name: String
            let device_type = "tablet"
        }
        struct Answer: Decodable {
            struct Fields: Decodable {
                let device_id, api_key: String
            }

            let data: Fields
        }
        let wish = Wish(site_id: site, bootstrap_key: bootstrapKey, device_name: name)
        var request = URLRequest(url: server.appending(path: "api/v1/devices/bootstrap-provision"))
        request.httpMethod = "POST"
        request.httpBody = try JSON.encoder.encode(wish)
        let given = try JSON.decoder.decode(Answer.self, from: await answer(to: request)).data
        return Identity(server: server, siteID: site, deviceID: given.device_id, apiKey: given.api_key)
    }

    /// Make `address` this device's way in by `provider`; again, it changes nothing.
    func register(_ provider: String, address: String, environment: String = "", rank: Int) async throws {
        struct Wish: Encodable {
            let address, environment: String
            let rank: Int
        }
        let wish = Wish(address: address, environment: environment, rank: rank)
        try await call("PUT", "devices/\(identity.deviceID)/channels/\(provider)", JSON.encoder.encode(wish))
    }

    /// Returns those that the server has, or that it will never take.
    func send(_ acks: [Ack]) async throws -> [Ack] {
        struct Answer: Decodable {
            struct Result: Decodable {
                let status: String
            }

            let results: [Result]
        }
        let data = try await call("POST", "push/ack/batch", JSON.encoder.encode(acks))
        return Array(acks.prefix(try JSON.decoder.decode(Answer.self, from: data).results.count))
    }

    /// What waits for this device: the last resort when no push came through.
    func inbox() async throws -> [Message] {
        let data = try await call("GET", "push/pending", nil)
        let answer = try JSONSerialization.jsonObject(with: data) as? [String: Any]
        let pushes = answer?["pushes"] as? [[String: Any]] ?? []
        return pushes.compactMap { ($0["payload"] as? [AnyHashable: Any]).flatMap(Message.init) }
    }

    @discardableResult
    private func call(_ method: String, _ path: String, _ body: Data?) async throws -> Data {
        var request = URLRequest(url: identity.server.appending(path: "api/v1/\(path)"))
        request.httpMethod = method
        request.httpBody = body
        request.setValue(identity.deviceID, forHTTPHeaderField: "X-Device-ID")
        request.setValue(identity.apiKey, forHTTPHeaderField: "X-API-Key")
        return try await Self.answer(to: request)
    }

    private static func answer(to asked: URLRequest) async throws -> Data {
        var request = asked
        request.timeoutInterval = 10 // s
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        let (data, response) = try await URLSession.shared.data(for: request)
        let status = (response as? HTTPURLResponse)?.statusCode ?? 0
        if [400, 401, 403, 404, 409, 413, 422].contains(status) {
            throw Refused(status: status, text: String(decoding: data, as: UTF8.self))
        }
        guard (200..<300).contains(status) else { throw URLError(.badServerResponse) }
        return data
    }
}
