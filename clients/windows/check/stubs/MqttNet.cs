// What the agent uses of MQTTnet 5, in its own signatures; for the compiler alone.
using System;
using System.Threading;
using System.Threading.Tasks;
using MQTTnet.Formatter;
using MQTTnet.Protocol;

namespace MQTTnet.Protocol
{
    public enum MqttQualityOfServiceLevel
    {
        AtMostOnce,
        AtLeastOnce,
    }
}

namespace MQTTnet.Formatter
{
    public enum MqttProtocolVersion
    {
        V500,
    }
}

namespace MQTTnet.Exceptions
{
    public class MqttCommunicationException : Exception
    {
    }
}

namespace MQTTnet
{
    public sealed class MqttClientOptions
    {
    }

    public sealed class MqttClientOptionsBuilder
    {
        public MqttClientOptionsBuilder WithConnectionUri(Uri uri) => throw null;

        public MqttClientOptionsBuilder WithProtocolVersion(MqttProtocolVersion version) => throw null;

        public MqttClientOptionsBuilder WithClientId(string id) => throw null;

        public MqttClientOptionsBuilder WithCredentials(string name, string password) => throw null;

        public MqttClientOptionsBuilder WithCleanStart(bool value) => throw null;

        public MqttClientOptionsBuilder WithSessionExpiryInterval(uint seconds) => throw null;

        public MqttClientOptions Build() => throw null;
    }

    public sealed class MqttApplicationMessage
    {
        public string Topic => throw null;
    }

    public sealed class MqttApplicationMessageReceivedEventArgs : EventArgs
    {
        public MqttApplicationMessage ApplicationMessage => throw null;
    }

    public interface IMqttClient
    {
        event Func<MqttApplicationMessageReceivedEventArgs, Task> ApplicationMessageReceivedAsync;

        bool IsConnected { get; }

        Task ConnectAsync(MqttClientOptions options, CancellationToken cancellation);
    }

    public sealed class MqttClientFactory
    {
        public IMqttClient CreateMqttClient() => throw null;
    }

    public static class Extensions
    {
        public static string ConvertPayloadToString(this MqttApplicationMessage message) => throw null;

        public static Task SubscribeAsync(
            this IMqttClient client, string topic, MqttQualityOfServiceLevel quality, CancellationToken stop) =>
            throw null;

        public static Task PublishStringAsync(
            this IMqttClient client, string topic, string payload, MqttQualityOfServiceLevel quality) => throw null;
    }
}
