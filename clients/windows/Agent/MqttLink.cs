using System;
using System.Collections.Generic;
using System.Linq;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using MQTTnet;
using MQTTnet.Exceptions;
using MQTTnet.Formatter;
using MQTTnet.Protocol;

namespace Homepot
{
    /// <summary>
    /// The way in where WNS is not: one connection to the broker for as long as this program runs. The session outlives
    /// it and everything is QoS 1, so the broker keeps what comes meanwhile.
    /// </summary>
    public sealed class MqttLink
    {
        private const int MaxResent = 100;
        private static readonly TimeSpan Again = TimeSpan.FromSeconds(10);
        private readonly Uri broker;
        private readonly Identity identity;
        private readonly Receiver receiver;
        private readonly AckSpool spool;
        private readonly IMqttClient client = new MqttClientFactory().CreateMqttClient();

        public MqttLink(Uri broker, Identity identity, Receiver receiver, AckSpool spool)
        {
            this.broker = broker;
            this.identity = identity;
            this.receiver = receiver;
            this.spool = spool;
        }

        /// <summary>Hold the connection until this is cancelled; a broken one is made again.</summary>
        public async Task Hold(CancellationToken stop)
        {
            client.ApplicationMessageReceivedAsync += Arrived;
            while (!stop.IsCancellationRequested)
            {
                try
                {
                    if (!client.IsConnected)
                    {
                        await Connect(stop);
                    }
                }
                catch (MqttCommunicationException)
                {
                    // the broker is away: below
                }

                await Task.Delay(Again, stop);
            }
        }

        private async Task Connect(CancellationToken stop)
        {
            var options = new MqttClientOptionsBuilder()
                .WithConnectionUri(broker)
                .WithProtocolVersion(MqttProtocolVersion.V500)
                .WithClientId(identity.DeviceId)
                .WithCredentials(identity.DeviceId, identity.ApiKey)
                .WithCleanStart(false)
                .WithSessionExpiryInterval(uint.MaxValue)
                .Build();
            await client.ConnectAsync(options, stop);
            foreach (var name in new[] { "notifications", "commands", "acks/done" })
            {
                await client.SubscribeAsync(Topic(name), MqttQualityOfServiceLevel.AtLeastOnce, stop);
            }

            foreach (var ack in spool.Waiting(MaxResent))
            {
                await Publish(ack);
            }
        }

        /// <summary>MQTTnet confirms to the broker when this returns: the ack is in the spool by then.</summary>
        private async Task Arrived(MqttApplicationMessageReceivedEventArgs arrived)
        {
            var text = arrived.ApplicationMessage.ConvertPayloadToString() ?? "";
            if (arrived.ApplicationMessage.Topic == Topic("acks/done"))
            {
                spool.DropMessages(Ids(text));
                return;
            }

            var message = arrived.ApplicationMessage.Topic == Topic("notifications") ? Message.Read(text) : null;
            var ack = message == null ? null : receiver.Receive(message);
            if (ack != null)
            {
                await Publish(ack);
            }
        }

        private async Task Publish(Ack ack)
        {
            try
            {
                await client.PublishStringAsync(Topic("acks"), ack.Json, MqttQualityOfServiceLevel.AtLeastOnce);
            }
            catch (MqttCommunicationException)
            {
                // it is in the spool, and goes out by HTTP or after the next connect
            }
        }

        private static HashSet<string> Ids(string text)
        {
            using (var document = JsonDocument.Parse(text))
            {
                var ids = document.RootElement.GetProperty("message_ids").EnumerateArray().Select(id => id.GetString());
                return new HashSet<string>(ids);
            }
        }

        private string Topic(string name)
        {
            return "devices/" + identity.DeviceId + "/" + name;
        }
    }
}
