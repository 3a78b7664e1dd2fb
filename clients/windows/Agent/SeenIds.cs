using System.Collections.Generic;
using System.IO;
using System.Linq;

namespace Homepot
{
    /// <summary>The messages that this device has had: the server sends one again rather than lose it.</summary>
    public sealed class SeenIds
    {
        private const int Kept = 2000;
        private readonly string file;
        private readonly object alone = new object();
        private readonly HashSet<string> ids;
        private List<string> inOrder;

        public SeenIds(string file)
        {
            this.file = file;
            inOrder = File.Exists(file) ? File.ReadAllLines(file).ToList() : new List<string>();
            ids = new HashSet<string>(inOrder);
        }

        /// <summary>Remember this one. Returns whether it is new.</summary>
        public bool Add(string id)
        {
            lock (alone)
            {
                if (!ids.Add(id))
                {
                    return false;
                }

                inOrder.Add(id);
                if (inOrder.Count <= 2 * Kept)
                {
                    File.AppendAllText(file, id + "\n");
                    return true;
                }

                inOrder = inOrder.Skip(inOrder.Count - Kept).ToList();
                ids.IntersectWith(inOrder);
                File.WriteAllLines(file, inOrder);
                return true;
            }
        }
    }
}
