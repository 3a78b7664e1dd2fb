using System;
using System.Text;
using System.Threading.Tasks;
using Microsoft.Windows.AppLifecycle;
using Microsoft.Windows.PushNotifications;

namespace Homepot
{
    /// <summary>Windows' own push service: raw notifications, also while this program does not run.</summary>
    public sealed class WnsLink
    {
        private readonly Receiver receiver;

        public WnsLink(Receiver receiver)
        {
            this.receiver = receiver;
        }

        /// <summary>Before anything else: who listens late is started anew for each push.</summary>
        public void Listen()
        {
            if (PushNotificationManager.IsSupported())
            {
                PushNotificationManager.Default.PushReceived += async (_, push) => await Take(push);
                PushNotificationManager.Default.Register();
            }
        }

        /// <summary>Where Windows started this process for a push: take it. False where it did not.</summary>
        public async Task<bool> TakeActivation()
        {
            var started = AppInstance.GetCurrent().GetActivatedEventArgs();
            if (started.Kind != ExtendedActivationKind.Push)
            {
                return false;
            }

            await Take((PushNotificationReceivedEventArgs)started.Data);
            return true;
        }

        /// <summary>Where the server sends to, new for each start: Windows changes it within 30 days.</summary>
        /// <param name="remoteId">The object id of the app's registration in Azure.</param>
        /// <returns>Null where there is no WNS: an IoT image without it, or a firewall.</returns>
        public async Task<string> Address(Guid remoteId)
        {
            if (!PushNotificationManager.IsSupported())
            {
                return null;
            }

            // It tries for minutes by itself.
            var made = await PushNotificationManager.Default.CreateChannelAsync(remoteId);
            return made.Status == PushNotificationChannelStatus.CompletedSuccess ? made.Channel.Uri.ToString() : null;
        }

        private async Task Take(PushNotificationReceivedEventArgs push)
        {
            var deferral = push.GetDeferral(); // Windows lets the process live until it is completed
            try
            {
                var message = Message.Read(Encoding.UTF8.GetString(push.Payload));
                if (message != null)
                {
                    receiver.Receive(message);
                    await receiver.SendAcks();
                }
            }
            finally
            {
                deferral.Complete();
            }
        }
    }
}
