using System.Collections.Generic;
using System.Threading.Tasks;
using Microsoft.Windows.AppNotifications;
using Microsoft.Windows.AppNotifications.Builder;

namespace Homepot
{
    /// <summary>What the person sees. The ack never waits for it: messages come also where it is turned off.</summary>
    public static class Toasts
    {
        /// <summary>Hear of clicks, too; before the first toast.</summary>
        public static void Listen(Receiver receiver)
        {
            AppNotificationManager.Default.NotificationInvoked +=
                async (_, clicked) => await Clicked(receiver, clicked.Arguments);
            AppNotificationManager.Default.Register();
        }

        public static void Show(Message message)
        {
            if (message.Title.Length + message.Body.Length == 0)
            {
                return; // for the program alone
            }

            var toast = new AppNotificationBuilder()
                .AddArgument("message_id", message.Id)
                .AddArgument("ack_token", message.AckToken)
                .AddText(message.Title)
                .AddText(message.Body)
                .BuildNotification();
            AppNotificationManager.Default.Show(toast);
        }

        private static async Task Clicked(Receiver receiver, IDictionary<string, string> arguments)
        {
            if (arguments.ContainsKey("message_id") && arguments.ContainsKey("ack_token"))
            {
                receiver.Clicked(arguments["message_id"], arguments["ack_token"]);
                await receiver.SendAcks();
            }
        }
    }
}
