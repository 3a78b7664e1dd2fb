from collections.abc import Callable
from math import ceil
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics import latency

LATENCIES_MS = st.lists(st.integers(min_value=0, max_value=28 * 86_400_000), min_size=1, max_size=200)
SHARES = [0.5, 0.95, 0.99]

DISTRIBUTIONS: dict[str, Callable[[Random], float]] = {
    "log-normal": lambda rng: rng.lognormvariate(6, 1),
    "narrow": lambda rng: rng.gauss(180, 12),
    "bimodal": lambda rng: rng.gauss(120, 15) if rng.random() < 0.7 else rng.gauss(9_000, 900),
    "heavy tail": lambda rng: 40 * rng.paretovariate(1.1),
    "mostly one value": lambda rng: 250 if rng.random() < 0.9 else rng.uniform(1_000, 5_000),
    "a few milliseconds": lambda rng: rng.expovariate(1 / 4),
}


def exact_ms(values: list[int], share: float) -> int:
    return sorted(values)[ceil(share * len(values)) - 1]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13, 30, 100, 1_000, 20_000])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_percentiles_of_what_is_measured_are_within_two_percent(name: str, count: int) -> None:
    rng = Random(f"{name} {count}")
    values = [max(0, int(DISTRIBUTIONS[name](rng))) for _ in range(count)]

    estimates = {share: latency.percentile_ms(latency.histogram(values), share) for share in SHARES}

    assert estimates == {share: pytest.approx(exact_ms(values, share), rel=0.02) for share in SHARES}


@given(LATENCIES_MS, st.sampled_from([0.0, *SHARES, 1.0]))
def test_no_percentile_is_more_than_nine_percent_off(values: list[int], share: float) -> None:
    exact = exact_ms(values, share) if share else min(values)

    estimate = latency.percentile_ms(latency.histogram(values), share)

    assert estimate is not None
    assert abs(estimate - exact) <= 0.0906 * exact


@given(st.lists(st.integers(min_value=0, max_value=10_000), min_size=1, max_size=3), st.sampled_from(SHARES))
def test_percentiles_of_up_to_three_are_exact(values: list[int], share: float) -> None:
    assert latency.percentile_ms(latency.histogram(values), share) == exact_ms(values, share)


@given(LATENCIES_MS, LATENCIES_MS)
def test_merging_histograms_is_the_histogram_of_all(one: list[int], other: list[int]) -> None:
    merged = latency.merge([latency.histogram(one), latency.histogram(other)])

    assert merged == latency.histogram([*one, *other])


@given(LATENCIES_MS)
def test_count_and_mean_are_exact(values: list[int]) -> None:
    counted = latency.histogram(values)

    assert (latency.count(counted), latency.mean_ms(counted)) == (len(values), sum(values) / len(values))


@given(st.integers(min_value=1, max_value=2**31))
def test_a_bucket_begins_at_its_edge(latency_ms: int) -> None:
    number = latency.bucket(latency_ms)

    assert latency.EDGES_MS[number - 1] <= latency_ms < latency.EDGES_MS[number]


def test_what_is_longer_than_the_last_edge_is_counted_in_the_last_bucket() -> None:
    assert latency.bucket(10**15) == len(latency.EDGES_MS)


def test_no_deliveries_have_no_percentile() -> None:
    assert (latency.percentile_ms({}, 0.95), latency.mean_ms({})) == (None, None)
