using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text;

namespace Homepot
{
    /// <summary>Acks that the server does not have yet: a file for each, so that a kill costs none.</summary>
    public sealed class AckSpool
    {
        private readonly string folder;
        private readonly object alone = new object();

        public AckSpool(string folder)
        {
            this.folder = Directory.CreateDirectory(folder).FullName;
        }

        public void Add(Ack ack)
        {
            lock (alone)
            {
                var unfinished = PathOf(ack) + ".new";
                using (var file = new FileStream(unfinished, FileMode.Create, FileAccess.Write))
                {
                    var bytes = Encoding.UTF8.GetBytes(ack.Json);
                    file.Write(bytes, 0, bytes.Length);
                    file.Flush(true); // to the disk
                }

                File.Delete(PathOf(ack)); // the same ack again says the same
                File.Move(unfinished, PathOf(ack));
            }
        }

        /// <summary>The oldest first: ids begin with the time.</summary>
        public IList<Ack> Waiting(int limit)
        {
            lock (alone)
            {
                return Directory.GetFiles(folder, "*.ack").OrderBy(Path.GetFileName).Take(limit).Select(Kept).ToList();
            }
        }

        public void Drop(IEnumerable<Ack> acks)
        {
            lock (alone)
            {
                foreach (var ack in acks)
                {
                    File.Delete(PathOf(ack));
                }
            }
        }

        /// <summary>What the server says it has, by message.</summary>
        public void DropMessages(ICollection<string> ids)
        {
            Drop(Waiting(int.MaxValue).Where(ack => ids.Contains(ack.MessageId)));
        }

        private static Ack Kept(string path)
        {
            var name = Path.GetFileNameWithoutExtension(path).Split('.');
            return Ack.Kept(name[0], name[1], File.ReadAllText(path));
        }

        private string PathOf(Ack ack)
        {
            return Path.Combine(folder, ack.MessageId + "." + ack.Status + ".ack");
        }
    }
}
