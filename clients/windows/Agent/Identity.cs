using System;
using System.IO;
using System.Security.Cryptography;
using System.Text;

namespace Homepot
{
    /// <summary>Who this device is: given once, when it is provisioned. The key is shown never again.</summary>
    public sealed class Identity
    {
        public Identity(string serverUrl, string siteId, string deviceId, string apiKey)
        {
            ServerUrl = serverUrl;
            SiteId = siteId;
            DeviceId = deviceId;
            ApiKey = apiKey;
        }

        public string ServerUrl { get; }

        public string SiteId { get; }

        public string DeviceId { get; }

        public string ApiKey { get; }

        /// <summary>Null until the device is provisioned.</summary>
        public static Identity Read(string file)
        {
            if (!File.Exists(file))
            {
                return null;
            }

            var plain = ProtectedData.Unprotect(File.ReadAllBytes(file), null, DataProtectionScope.CurrentUser);
            var lines = Encoding.UTF8.GetString(plain).Split('\n');
            return new Identity(lines[0], lines[1], lines[2], lines[3]);
        }

        /// <summary>Encrypted by Windows (DPAPI) for this account on this machine alone.</summary>
        public void Write(string file)
        {
            var plain = Encoding.UTF8.GetBytes(string.Join("\n", ServerUrl, SiteId, DeviceId, ApiKey));
            var unfinished = file + ".new";
            File.WriteAllBytes(unfinished, ProtectedData.Protect(plain, null, DataProtectionScope.CurrentUser));
            File.Delete(file);
            File.Move(unfinished, file);
        }
    }
}
