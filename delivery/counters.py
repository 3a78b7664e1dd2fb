"""Caches that count: many counters in one round trip, each with its end."""

from collections.abc import Mapping

from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache


class SharedCounters(RedisCache):
    """In Redis, for all processes together."""

    def count(self, added: Mapping[str, int], timeout_s: int) -> dict[str, int]:
        """Add to counters; what each holds then. One that is not there begins at 0 and lives for `timeout_s`."""
        with self._cache.get_client(write=True).pipeline(transaction=False) as pipe:
            for key, number in added.items():
                name = self.make_and_validate_key(key)
                pipe.set(name, 0, ex=timeout_s, nx=True)
                pipe.incrby(name, number)
            return dict(zip(added, pipe.execute()[1::2], strict=True))


class OwnCounters(LocMemCache):
    """In this process alone."""

    def count(self, added: Mapping[str, int], timeout_s: int) -> dict[str, int]:
        """As above."""
        counts = {}
        for key, number in added.items():
            self.add(key, 0, timeout=timeout_s)
            counts[key] = self.incr(key, number)
        return counts


def counters(name: str) -> SharedCounters | OwnCounters:
    """The cache of that name in the settings."""
    cache = caches[name]
    assert isinstance(cache, SharedCounters | OwnCounters)
    return cache
