using System;
using System.Collections.Generic;
using System.Text.Json;

namespace Homepot
{
    /// <summary>What the server sends, whichever way it came.</summary>
    public sealed class Message
    {
        public string Id { get; private set; }

        /// <summary>Empty: nothing to ack, such as the challenge of a registration.</summary>
        public string AckToken { get; private set; }

        public string Title { get; private set; }

        public string Body { get; private set; }

        /// <summary>Null for what is no message of ours: a push may carry anything.</summary>
        public static Message Read(string json)
        {
            try
            {
                using (var document = JsonDocument.Parse(json))
                {
                    return Read(document.RootElement);
                }
            }
            catch (JsonException)
            {
                return null;
            }
        }

        public static Message Read(JsonElement json)
        {
            var id = Text(json, "message_id");
            if (!Guid.TryParse(id, out _))
            {
                return null; // also a file's name: nothing else gets that far
            }

            return new Message
            {
                Id = id,
                AckToken = Text(json, "ack_token"),
                Title = Text(json, "title"),
                Body = Text(json, "body"),
            };
        }

        private static string Text(JsonElement json, string name)
        {
            var isText = json.ValueKind == JsonValueKind.Object
                && json.TryGetProperty(name, out var value)
                && value.ValueKind == JsonValueKind.String;
            return isText ? json.GetProperty(name).GetString() : "";
        }
    }

    /// <summary>That this device has a message.</summary>
    public sealed class Ack
    {
        public string MessageId { get; private set; }

        public string Status { get; private set; }

        /// <summary>As the server takes it: one JSON object.</summary>
        public string Json { get; private set; }

        public static Ack Of(string messageId, string token, string status)
        {
            var fields = new Dictionary<string, string>
            {
                ["message_id"] = messageId,
                ["ack_token"] = token,
                ["status"] = status,
                ["received_at"] = DateTime.UtcNow.ToString("o"), // this device's clock
            };
            return new Ack { MessageId = messageId, Status = status, Json = JsonSerializer.Serialize(fields) };
        }

        public static Ack Kept(string messageId, string status, string json)
        {
            return new Ack { MessageId = messageId, Status = status, Json = json };
        }
    }
}
