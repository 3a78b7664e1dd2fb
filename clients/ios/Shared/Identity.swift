import Foundation
import Security

/// Who this device is: given once, when it is provisioned. The key is shown never again.
struct Identity: Codable, Sendable {
    let server: URL
    let siteID: String
    let deviceID: String
    let apiKey: String

    /// Nil until the device is provisioned.
    static func read() -> Identity? {
        var found: CFTypeRef?
        let wanted = query.merging([kSecReturnData: true]) { _, new in new }
        guard SecItemCopyMatching(wanted as CFDictionary, &found) == errSecSuccess else { return nil }
        return (found as? Data).flatMap { try? JSONDecoder().decode(Identity.self, from: $0) }
    }

    /// In the keychain, for this device alone: a backup that is restored onto another one does not carry it.
    func write() throws {
        SecItemDelete(Self.query as CFDictionary)
        let item = Self.query.merging([
            kSecValueData: try JSONEncoder().encode(self),
            kSecAttrAccessible: kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly,
        ]) { _, new in new }
        let status = SecItemAdd(item as CFDictionary, nil)
        guard status == errSecSuccess else { throw NSError(domain: NSOSStatusErrorDomain, code: Int(status)) }
    }

    private static let query: [CFString: Any] = [
        kSecClass: kSecClassGenericPassword,
        kSecAttrService: "org.homepot.identity",
        kSecAttrAccessGroup: Store.group, // the extension needs it, too
    ]
}
