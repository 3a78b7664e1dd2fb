import UserNotifications

/// iOS runs this for each alert, also when the app is closed, and before it shows anything: about 30 s to ack.
///
/// It sees alerts alone (`mutable-content`, which the server always sends with one). What has nothing to show wakes the
/// app instead, when iOS sees fit.
final class NotificationService: UNNotificationServiceExtension {
    private var show: ((UNNotificationContent) -> Void)?
    private var content = UNNotificationContent()
    private var acking: Task<Void, Never>?

    override func didReceive(
        _ request: UNNotificationRequest, withContentHandler contentHandler: @escaping (UNNotificationContent) -> Void
    ) {
        show = contentHandler
        content = request.content
        guard let receiver = Receiver(), let message = Message(request.content.userInfo) else { return finish() }
        receiver.receive(message)
        acking = Task {
            await receiver.sendAcks()
            finish()
        }
    }

    /// Time is up: the ack is kept, and goes out with the next message or when the app is opened.
    override func serviceExtensionTimeWillExpire() {
        acking?.cancel()
        finish()
    }

    private func finish() {
        show?(content)
        show = nil
    }
}
