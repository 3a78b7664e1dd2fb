"""The pipeline's steps hint through the broker."""

from tests.delivery.conftest import broker

__all__ = ["broker"]
