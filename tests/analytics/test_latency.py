from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics import latency

LATENCIES_MS = st.lists(st.integers(min_value=0, max_value=28 * 86_400_000), min_size=1, max_size=200)


@given(LATENCIES_MS, st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_percentile_is_within_nine_percent_of_the_exact_one(values: list[int], share: float) -> None:
    exact = sorted(values)[ceil(share * len(values)) - 1]

    estimate = latency.percentile_ms(latency.histogram(values), share)

    assert estimate is not None
    assert abs(estimate - exact) <= 0.0906 * exact


@given(LATENCIES_MS, LATENCIES_MS)
def test_merging_histograms_is_the_histogram_of_all(one: list[int], other: list[int]) -> None:
    merged = latency.merge([latency.histogram(one), latency.histogram(other)])

    assert merged == latency.histogram([*one, *other])


@given(st.integers(min_value=1, max_value=2**31))
def test_a_bucket_begins_at_its_edge(latency_ms: int) -> None:
    number = latency.bucket(latency_ms)

    assert latency.EDGES_MS[number - 1] <= latency_ms < latency.EDGES_MS[number]


@pytest.mark.parametrize("latency_ms", range(12))
def test_a_few_milliseconds_are_exact(latency_ms: int) -> None:
    assert latency.percentile_ms(latency.histogram([latency_ms]), 0.5) == latency_ms


def test_what_is_longer_than_the_last_edge_is_counted_in_the_last_bucket() -> None:
    assert latency.bucket(10**15) == len(latency.EDGES_MS)
    assert latency.percentile_ms(latency.histogram([10**15]), 0.5) == latency.EDGES_MS[-1]


def test_no_deliveries_have_no_percentile() -> None:
    assert latency.percentile_ms({}, 0.95) is None
