"""What was read of an hour, kept in this process until the hour is counted again: most hours never are."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from threading import Lock
from typing import Generic, TypeVar

from analytics.models import RollupState

T = TypeVar("T")
Key = tuple[datetime, datetime | None, object]
"""The hour, when it was counted, and what of it."""


class ByHour(Generic[T]):
    """Holds up to `most` hours; the longest unused go first. What it hands out is shared: nobody changes it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Key, T] = OrderedDict()
        self._lock = Lock()

    def read(
        self,
        what: object,
        first: datetime,
        end: datetime,
        read: Callable[[Sequence[datetime]], Mapping[datetime, T]],
    ) -> dict[datetime, T]:
        """Each hour from `first` up to `end` that holds any; `read` is asked for those that are not known, once."""
        counted = RollupState.objects.filter(hour__gte=first, hour__lt=end).values_list("hour", "counted_at")
        keys: dict[datetime, Key] = {hour: (hour, at, what) for hour, at in counted}
        known = self._known(keys)
        unknown = [hour for hour in keys if hour not in known]
        fresh = read(unknown) if unknown else {}
        self._keep({keys[hour]: found for hour, found in fresh.items()})
        return {**known, **fresh}

    def forget(self) -> None:
        with self._lock:
            self._kept.clear()

    def _known(self, keys: Mapping[datetime, Key]) -> dict[datetime, T]:
        with self._lock:
            found = {hour: self._kept[key] for hour, key in keys.items() if key in self._kept}
            for hour in found:
                self._kept.move_to_end(keys[hour])
        return found

    def _keep(self, fresh: Mapping[Key, T]) -> None:
        with self._lock:
            self._kept.update(fresh)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
