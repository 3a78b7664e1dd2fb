import SwiftUI

/// A real app has its own screens.
@main
struct HomepotApp: App {
    @UIApplicationDelegateAdaptor(AppDelegate.self) private var delegate

    var body: some Scene {
        WindowGroup {
            Text(Identity.read().map { "Ready for messages as \($0.deviceID)" } ?? "Not connected yet")
        }
    }
}
