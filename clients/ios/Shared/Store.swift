import Foundation

/// What the app and its extension share: files in their app group. Each keeps to whole files, written at once, since
/// they are two processes that may be ended at any moment.
struct Store: Sendable {
    static let group = "group.org.homepot.client"
    private let acks: URL
    private let seen: URL

    init() throws {
        let files = FileManager.default
        guard let folder = files.containerURL(forSecurityApplicationGroupIdentifier: Self.group) else {
            throw CocoaError(.fileNoSuchFile)
        }
        acks = folder.appending(path: "acks")
        seen = folder.appending(path: "seen")
        for each in [acks, seen] {
            try files.createDirectory(at: each, withIntermediateDirectories: true)
        }
    }

    /// Keep an ack until the server has it. Readable also while the device is locked: pushes come then, too.
    func keep(_ ack: Ack) throws {
        let options: Data.WritingOptions = [.atomic, .completeFileProtectionUntilFirstUserAuthentication]
        try JSON.encoder.encode(ack).write(to: file(ack), options: options)
    }

    /// The oldest first: ids begin with the time.
    func waiting(limit: Int) -> [Ack] {
        let files = (try? FileManager.default.contentsOfDirectory(at: acks, includingPropertiesForKeys: nil)) ?? []
        let oldest = files.sorted { $0.lastPathComponent < $1.lastPathComponent }.prefix(limit)
        return oldest.compactMap { try? JSON.decoder.decode(Ack.self, from: Data(contentsOf: $0)) }
    }

    func drop(_ acks: some Sequence<Ack>) {
        for ack in acks {
            try? FileManager.default.removeItem(at: file(ack))
        }
    }

    /// Remember a message. False where it was here before: the server sends one again rather than lose it.
    func isNew(_ message: Message) -> Bool {
        let file = seen.appending(path: message.id.uuidString)
        return FileManager.default.fileExists(atPath: file.path) == false
            && FileManager.default.createFile(atPath: file.path, contents: nil)
    }

    /// Forget ids that no server sends any more: 28 days are the longest life of a message.
    func forgetOld(now: Date = .now) {
        let keys: Set<URLResourceKey> = [.creationDateKey]
        let files = try? FileManager.default.contentsOfDirectory(at: seen, includingPropertiesForKeys: Array(keys))
        for file in files ?? [] {
            let made = try? file.resourceValues(forKeys: keys).creationDate
            if let made, now.timeIntervalSince(made) > 28 * 86_400 {
                try? FileManager.default.removeItem(at: file)
            }
        }
    }

    private func file(_ ack: Ack) -> URL {
        acks.appending(path: "\(ack.messageID).\(ack.status.rawValue)")
    }
}

/// Times as ISO-8601.
enum JSON {
    static var encoder: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.dateEncodingStrategy = .iso8601
        return encoder
    }

    static var decoder: JSONDecoder {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        return decoder
    }
}
