"""What the steps of the pipeline run on in tests: the broker's database, emptied."""

from collections.abc import Iterator

import pytest
from redis import Redis


@pytest.fixture
def broker(redis_url: str) -> Iterator[Redis]:
    """The broker's own keys; a queue is the list of its name."""
    with Redis.from_url(redis_url) as client:
        client.flushdb()
        yield client
        client.flushdb()
