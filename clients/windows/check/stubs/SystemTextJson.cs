// What the agent uses of System.Text.Json, which Mono lacks; for the compiler alone.
using System;
using System.Collections.Generic;

namespace System.Text.Json
{
    public class JsonException : Exception
    {
    }

    public enum JsonValueKind
    {
        Object,
        String,
    }

    public struct JsonElement
    {
        public JsonValueKind ValueKind => throw null;

        public bool TryGetProperty(string name, out JsonElement value) => throw null;

        public JsonElement GetProperty(string name) => throw null;

        public string GetString() => throw null;

        public int GetArrayLength() => throw null;

        public IEnumerable<JsonElement> EnumerateArray() => throw null;
    }

    public sealed class JsonDocument : IDisposable
    {
        public JsonElement RootElement => throw null;

        public static JsonDocument Parse(string json) => throw null;

        public void Dispose() => throw null;
    }

    public static class JsonSerializer
    {
        public static string Serialize<T>(T value) => throw null;
    }
}
