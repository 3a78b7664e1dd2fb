using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading.Tasks;

namespace Homepot
{
    /// <summary>Takes messages from every side, once each, and acks them all.</summary>
    public sealed class Receiver
    {
        private const int Batch = 100;
        private readonly Server server;
        private readonly AckSpool spool;
        private readonly SeenIds seen;
        private readonly Action<Message> show;

        public Receiver(Server server, AckSpool spool, SeenIds seen, Action<Message> show)
        {
            this.server = server;
            this.spool = spool;
            this.seen = seen;
            this.show = show;
        }

        /// <summary>Keep the ack, then show. A message that comes again is acked again, and not shown.</summary>
        /// <returns>The ack; null where there is nothing to ack.</returns>
        public Ack Receive(Message message)
        {
            var ack = message.AckToken.Length == 0 ? null : Acked(message.Id, message.AckToken, "delivered");
            if (seen.Add(message.Id))
            {
                show(message);
            }

            return ack;
        }

        /// <summary>The person clicked its notification.</summary>
        public void Clicked(string messageId, string token)
        {
            Acked(messageId, token, "clicked");
        }

        /// <summary>Send what waits.</summary>
        /// <returns>Whether nothing waits any more.</returns>
        public async Task<bool> SendAcks()
        {
            try
            {
                for (var waiting = spool.Waiting(Batch); waiting.Count > 0; waiting = spool.Waiting(Batch))
                {
                    var settled = await server.Send(waiting);
                    if (settled.Count == 0)
                    {
                        return false;
                    }

                    spool.Drop(settled);
                }

                return true;
            }
            catch (Exception later) when (Server.IsOffline(later) || later is RefusedException)
            {
                return false; // or a revoked key: a technician has to act
            }
        }

        /// <summary>Fetch what no push brought.</summary>
        public async Task DrainInbox()
        {
            IList<Message> fresh;
            do
            {
                fresh = await server.Inbox();
                foreach (var message in fresh)
                {
                    Receive(message);
                }
            }
            while (fresh.Any() && await SendAcks()); // what is acked is not in the inbox any more
        }

        private Ack Acked(string messageId, string token, string status)
        {
            var ack = Ack.Of(messageId, token, status);
            spool.Add(ack);
            return ack;
        }
    }
}
