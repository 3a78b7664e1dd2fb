// What the agent uses of the Windows App SDK, in its own signatures; for the compiler alone.
using System;
using System.Collections.Generic;
using System.Threading.Tasks;

namespace Microsoft.Windows.AppLifecycle
{
    public enum ExtendedActivationKind
    {
        Launch,
        Push,
    }

    public sealed class AppActivationArguments
    {
        public ExtendedActivationKind Kind => throw null;

        public object Data => throw null;
    }

    public sealed class AppInstance
    {
        public static AppInstance GetCurrent() => throw null;

        public AppActivationArguments GetActivatedEventArgs() => throw null;
    }
}

namespace Microsoft.Windows.PushNotifications
{
    public delegate void TypedEventHandler<TSender, TResult>(TSender sender, TResult args);

    public enum PushNotificationChannelStatus
    {
        InProgress,
        InProgressRetry,
        CompletedSuccess,
        CompletedFailure,
    }

    public sealed class BackgroundTaskDeferral
    {
        public void Complete() => throw null;
    }

    public sealed class PushNotificationReceivedEventArgs
    {
        public byte[] Payload => throw null;

        public BackgroundTaskDeferral GetDeferral() => throw null;
    }

    public sealed class PushNotificationChannel
    {
        public Uri Uri => throw null;
    }

    public sealed class PushNotificationCreateChannelResult
    {
        public PushNotificationChannel Channel => throw null;

        public PushNotificationChannelStatus Status => throw null;
    }

    public sealed class PushNotificationManager
    {
        public event TypedEventHandler<PushNotificationManager, PushNotificationReceivedEventArgs> PushReceived
        {
            add => throw null;
            remove => throw null;
        }

        public static PushNotificationManager Default => throw null;

        public static bool IsSupported() => throw null;

        public void Register() => throw null;

        public Task<PushNotificationCreateChannelResult> CreateChannelAsync(Guid remoteId) => throw null;
    }
}

namespace Microsoft.Windows.AppNotifications
{
    public delegate void TypedEventHandler<TSender, TResult>(TSender sender, TResult args);

    public sealed class AppNotification
    {
    }

    public sealed class AppNotificationActivatedEventArgs
    {
        public IDictionary<string, string> Arguments => throw null;
    }

    public sealed class AppNotificationManager
    {
        public event TypedEventHandler<AppNotificationManager, AppNotificationActivatedEventArgs> NotificationInvoked
        {
            add => throw null;
            remove => throw null;
        }

        public static AppNotificationManager Default => throw null;

        public void Register() => throw null;

        public void Show(AppNotification notification) => throw null;
    }
}

namespace Microsoft.Windows.AppNotifications.Builder
{
    public sealed class AppNotificationBuilder
    {
        public AppNotificationBuilder AddArgument(string key, string value) => throw null;

        public AppNotificationBuilder AddText(string text) => throw null;

        public AppNotification BuildNotification() => throw null;
    }
}
