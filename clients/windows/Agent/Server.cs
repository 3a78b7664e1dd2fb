using System;
using System.Collections.Generic;
using System.Linq;
using System.Net.Http;
using System.Text;
using System.Text.Json;
using System.Threading.Tasks;

namespace Homepot
{
    /// <summary>An answer that would come again, such as 401 for a revoked key.</summary>
    public sealed class RefusedException : Exception
    {
        public RefusedException(int status, string text)
            : base(status + ": " + text)
        {
        }
    }

    /// <summary>The server's API. What it raises is a refusal, or <see cref="IsOffline"/>.</summary>
    public sealed class Server
    {
        private static readonly int[] Final = { 400, 401, 403, 404, 409, 413, 422 };
        private static readonly HttpClient Http = new HttpClient(new HttpClientHandler { AllowAutoRedirect = false })
        {
            Timeout = TimeSpan.FromSeconds(10),
        };

        private readonly Identity identity;

        public Server(Identity identity)
        {
            this.identity = identity;
        }

        /// <summary>Not reached, or not in time: try again later.</summary>
        public static bool IsOffline(Exception problem)
        {
            return problem is HttpRequestException || problem is TaskCanceledException;
        }

        /// <summary>Become a device of this site. After a lost answer: call it again with the same name.</summary>
        public static async Task<Identity> Provision(string serverUrl, string siteId, string bootstrapKey, string name)
        {
            var body = JsonSerializer.Serialize(new Dictionary<string, string>
            {
                ["site_id"] = siteId,
                ["bootstrap_key"] = bootstrapKey,
                ["device_name"] = name,
                ["device_type"] = "kiosk",
                ["os_details"] = Environment.OSVersion.VersionString,
            });
            var nobody = new Identity(serverUrl, siteId, null, null);
            using (var answer = await Call(nobody, HttpMethod.Post, "/devices/bootstrap-provision", body))
            {
                var data = answer.RootElement.GetProperty("data");
                var (deviceId, apiKey) = (data.GetProperty("device_id"), data.GetProperty("api_key"));
                return new Identity(serverUrl, siteId, deviceId.GetString(), apiKey.GetString());
            }
        }

        /// <summary>Make this address this device's way in by this provider; again, it changes nothing.</summary>
        public async Task Register(string provider, string address, int rank)
        {
            var fields = new Dictionary<string, object> { ["address"] = address, ["rank"] = rank };
            var body = JsonSerializer.Serialize(fields);
            var path = "/devices/" + identity.DeviceId + "/channels/" + provider;
            (await Call(identity, HttpMethod.Put, path, body)).Dispose();
        }

        /// <summary>Returns those that the server has, or that it will never take.</summary>
        public async Task<IList<Ack>> Send(IList<Ack> acks)
        {
            var body = "[" + string.Join(",", acks.Select(ack => ack.Json)) + "]";
            using (var answer = await Call(identity, HttpMethod.Post, "/push/ack/batch", body))
            {
                return acks.Take(answer.RootElement.GetProperty("results").GetArrayLength()).ToList();
            }
        }

        /// <summary>What waits for this device: the last resort when no push came through.</summary>
        public async Task<IList<Message>> Inbox()
        {
            using (var answer = await Call(identity, HttpMethod.Get, "/push/pending", null))
            {
                var pushes = answer.RootElement.GetProperty("pushes").EnumerateArray();
                var messages = pushes.Select(push => Message.Read(push.GetProperty("payload")));
                return messages.Where(message => message != null).ToList();
            }
        }

        /// <summary>Tells that the device is there, and what time it believes it is.</summary>
        public async Task Heartbeat()
        {
            var body = JsonSerializer.Serialize(new Dictionary<string, string>
            {
                ["device_id"] = identity.DeviceId,
                ["site_id"] = identity.SiteId,
                ["status"] = "ONLINE",
                ["timestamp"] = DateTime.UtcNow.ToString("o"),
            });
            (await Call(identity, HttpMethod.Post, "/agent/heartbeat", body)).Dispose();
        }

        private static async Task<JsonDocument> Call(Identity who, HttpMethod method, string path, string body)
        {
            using (var request = new HttpRequestMessage(method, who.ServerUrl + "/api/v1" + path))
            {
                if (who.ApiKey != null)
                {
                    request.Headers.Add("X-Device-ID", who.DeviceId);
                    request.Headers.Add("X-API-Key", who.ApiKey);
                }

                if (body != null)
                {
                    request.Content = new StringContent(body, Encoding.UTF8, "application/json");
                }

                using (var response = await Http.SendAsync(request))
                {
                    return Read((int)response.StatusCode, await response.Content.ReadAsStringAsync());
                }
            }
        }

        private static JsonDocument Read(int status, string text)
        {
            if (Final.Contains(status))
            {
                throw new RefusedException(status, text);
            }

            if (status < 200 || status > 299)
            {
                throw new HttpRequestException("the server answered " + status);
            }

            try
            {
                return JsonDocument.Parse(text);
            }
            catch (JsonException unreadable)
            {
                throw new HttpRequestException("not the server's answer", unreadable);
            }
        }
    }
}
