using System;
using System.IO;
using System.Threading;
using System.Threading.Tasks;

namespace Homepot
{
    /// <summary>An agent without a window. Where Windows started it for a push, it takes that and ends.</summary>
    public static class Program
    {
        private static readonly TimeSpan Beat = TimeSpan.FromSeconds(30);

        public static async Task Main()
        {
            var folder = Directory.CreateDirectory(Path.Combine(
                Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData), "Homepot")).FullName;
            var identity = await Known(Path.Combine(folder, "identity"));
            var server = new Server(identity);
            var spool = new AckSpool(Path.Combine(folder, "acks"));
            var receiver = new Receiver(server, spool, new SeenIds(Path.Combine(folder, "seen")), Toasts.Show);
            var wns = new WnsLink(receiver);

            Toasts.Listen(receiver);
            wns.Listen();
            if (await wns.TakeActivation())
            {
                return;
            }

            var mqtt = new MqttLink(new Uri(Setting("HOMEPOT_MQTT")), identity, receiver, spool);
            await ChooseWayIn(wns, server, mqtt, identity);
            while (true)
            {
                await Live(server, receiver);
                await Task.Delay(Beat);
            }
        }

        /// <summary>WNS where there is one, else the broker.</summary>
        private static async Task ChooseWayIn(WnsLink wns, Server server, MqttLink mqtt, Identity identity)
        {
            var address = await wns.Address(Guid.Parse(Setting("HOMEPOT_REMOTE_ID")));
            if (address == null)
            {
                _ = mqtt.Hold(CancellationToken.None);
            }

            await Registered(server, address == null ? "mqtt" : "wns", address ?? identity.DeviceId);
        }

        private static async Task Registered(Server server, string provider, string address)
        {
            while (true)
            {
                try
                {
                    await server.Register(provider, address, 0);
                    return;
                }
                catch (Exception offline) when (Server.IsOffline(offline))
                {
                    await Task.Delay(Beat);
                }
            }
        }

        private static async Task Live(Server server, Receiver receiver)
        {
            try
            {
                await server.Heartbeat();
                await receiver.DrainInbox();
                await receiver.SendAcks();
            }
            catch (Exception offline) when (Server.IsOffline(offline))
            {
                // the next beat tries again
            }
        }

        private static async Task<Identity> Known(string file)
        {
            var known = Identity.Read(file);
            if (known == null)
            {
                var (server, site) = (Setting("HOMEPOT_SERVER"), Setting("HOMEPOT_SITE"));
                known = await Server.Provision(server, site, Setting("HOMEPOT_BOOTSTRAP_KEY"), Environment.MachineName);
                known.Write(file);
            }

            return known;
        }

        private static string Setting(string name)
        {
            var value = Environment.GetEnvironmentVariable(name);
            return value ?? throw new InvalidOperationException(name + " is not set");
        }
    }
}
