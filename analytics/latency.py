"""Pure: latencies in buckets that can be added up, and percentiles from them.

Each octave (x to 2x milliseconds) has 8 buckets, so an estimate is at most 2^(1/8), 9.05 %, from the exact value. Whole
milliseconds are what is counted: below 11 ms each has a bucket of its own, and its percentile is exact.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from math import ceil

PER_OCTAVE = 8
OCTAVES = 32  # up to 49 days; the longest TTL is 28
EDGES_MS = tuple(ceil(2 ** (step / PER_OCTAVE)) for step in range(OCTAVES * PER_OCTAVE + 1))
"""Whole ms. Bucket n holds EDGES_MS[n - 1] <= ms < EDGES_MS[n], and bucket 0 holds 0 ms."""

Histogram = Mapping[str, int]
"""Count by bucket number (as text, since it is kept as JSON); empty buckets are left out."""


def bucket(latency_ms: int) -> int:
    """The bucket that counts this latency. What is longer than the last edge is counted in the last bucket."""
    return bisect_right(EDGES_MS, latency_ms)


def histogram(latencies_ms: Iterable[int]) -> dict[str, int]:
    return {str(number): count for number, count in sorted(Counter(map(bucket, latencies_ms)).items())}


def merge(histograms: Iterable[Histogram]) -> dict[str, int]:
    """The histogram of all of them together."""
    total: Counter[str] = Counter()
    for one in histograms:
        total.update(one)
    return dict(sorted(total.items(), key=lambda item: int(item[0])))


def percentile_ms(counts: Histogram, share: float) -> float | None:
    """The latency that `share` (0 to 1) of the deliveries did not exceed; None where there were none.

    Inside a bucket the deliveries are taken to be spread evenly.
    """
    rank = max(1, ceil(share * sum(counts.values())))
    before = 0
    for number in sorted(map(int, counts)):
        here = counts[str(number)]
        if before + here >= rank:
            first, last = _bounds_ms(number)
            return first + (last - first) * (rank - before - 0.5) / here
        before += here
    return None


def _bounds_ms(number: int) -> tuple[int, int]:
    """The smallest and the largest whole number of milliseconds in a bucket."""
    if number == 0:
        return 0, 0
    if number == len(EDGES_MS):
        return EDGES_MS[-1], EDGES_MS[-1]
    return EDGES_MS[number - 1], EDGES_MS[number] - 1
