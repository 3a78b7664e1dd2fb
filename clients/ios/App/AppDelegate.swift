import BackgroundTasks
import UIKit
import UserNotifications

/// Registers with APNs, and takes what it brings while the app runs; closed, the notification service acks.
final class AppDelegate: NSObject, UIApplicationDelegate, UNUserNotificationCenterDelegate {
    private static let refresh = "org.homepot.client.refresh"
    private let mqtt = MqttLink()

    func application(
        _ application: UIApplication, didFinishLaunchingWithOptions options: [UIApplication.LaunchOptionsKey: Any]?
    ) -> Bool {
        UNUserNotificationCenter.current().delegate = self
        BGTaskScheduler.shared.register(forTaskWithIdentifier: Self.refresh, using: .main) { task in
            self.refresh(task)
        }
        Task {
            await provisionOnce()
            _ = try? await UNUserNotificationCenter.current().requestAuthorization(options: [.alert, .badge, .sound])
            application.registerForRemoteNotifications() // also without permission: then data alone comes
            await catchUp()
        }
        return true
    }

    // MARK: APNs

    func application(_ application: UIApplication, didRegisterForRemoteNotificationsWithDeviceToken token: Data) {
        mqtt.stop()
        let address = token.map { String(format: "%02x", $0) }.joined()
        Task {
            try? await Receiver()?.server.register("apns", address: address, environment: Self.environment, rank: 0)
        }
    }

    /// No APNs on this network: hold a connection of our own for as long as the app is in front, as it is in a kiosk.
    func application(_ application: UIApplication, didFailToRegisterForRemoteNotificationsWithError error: Error) {
        Task {
            guard let receiver = Receiver() else { return }
            mqtt.start(receiver)
            try? await receiver.server.register("mqtt", address: receiver.server.identity.deviceID, rank: 0)
        }
    }

    /// Data alone, in the background: iOS grants a few of these an hour, and none to an app that was swiped away.
    func application(
        _ application: UIApplication, didReceiveRemoteNotification userInfo: [AnyHashable: Any]
    ) async -> UIBackgroundFetchResult {
        guard let receiver = Receiver(), let message = Message(userInfo) else { return .noData }
        receiver.receive(message)
        return await receiver.sendAcks() ? .newData : .failed
    }

    // MARK: What the person sees

    /// The app is in front: show it all the same.
    func userNotificationCenter(
        _ center: UNUserNotificationCenter, willPresent notification: UNNotification
    ) async -> UNNotificationPresentationOptions {
        [.banner, .list, .sound]
    }

    func userNotificationCenter(_ center: UNUserNotificationCenter, didReceive response: UNNotificationResponse) async {
        guard let receiver = Receiver(), let message = Message(response.notification.request.content.userInfo) else {
            return
        }
        if response.actionIdentifier != UNNotificationDismissActionIdentifier {
            receiver.note(message, .clicked)
        }
        await receiver.sendAcks()
    }

    // MARK: What no push brought

    func applicationWillEnterForeground(_ application: UIApplication) {
        Task { await catchUp() }
    }

    func applicationDidEnterBackground(_ application: UIApplication) {
        let wish = BGAppRefreshTaskRequest(identifier: Self.refresh)
        wish.earliestBeginDate = Date(timeIntervalSinceNow: 15 * 60)
        try? BGTaskScheduler.shared.submit(wish)
    }

    private func refresh(_ task: BGTask) {
        let work = Task {
            await catchUp()
            task.setTaskCompleted(success: !Task.isCancelled)
        }
        task.expirationHandler = { work.cancel() }
    }

    private func catchUp() async {
        guard let receiver = Receiver() else { return }
        await receiver.sendAcks()
        for message in await receiver.drainInbox() {
            await Self.show(message)
        }
        receiver.store.forgetOld()
    }

    static func show(_ message: Message) async {
        guard !(message.title + message.body).isEmpty else { return } // for the program alone
        let content = UNMutableNotificationContent()
        content.title = message.title
        content.body = message.body
        content.userInfo = ["message_id": message.id.uuidString, "ack_token": message.ackToken]
        let request = UNNotificationRequest(identifier: message.id.uuidString, content: content, trigger: nil)
        try? await UNUserNotificationCenter.current().add(request)
    }

    // MARK: The first start

    private func provisionOnce() async {
        guard Identity.read() == nil else { return }
        let given = Bundle.main.object(forInfoDictionaryKey: "Homepot") as? [String: String] ?? [:]
        guard let server = given["Server"].flatMap(URL.init), let site = given["Site"], let key = given["BootstrapKey"]
        else { return }
        let name = await UIDevice.current.identifierForVendor?.uuidString ?? UIDevice.current.name
        let identity = try? await Server.provision(server: server, site: site, bootstrapKey: key, name: name)
        try? identity?.write() // else the next start tries again
    }

    /// Which of Apple's two services made the token: a build from Xcode has the other one than a released app.
    private static var environment: String {
        #if DEBUG
            "sandbox"
        #else
            "production"
        #endif
    }
}
