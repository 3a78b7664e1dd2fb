"""The time by which providers sign tokens and read dates: the database's, carried on by this process's steady clock.

Apple, Google and Microsoft refuse a token that was signed minutes from now; a worker's own clock may be that wrong.
"""

from datetime import UTC, datetime, timedelta
from time import monotonic

_known: tuple[datetime, float] | None = None


def set_to(now: datetime) -> None:
    """From now on time goes on from here. A worker says so before each batch."""
    global _known
    _known = (now, monotonic())


def utc_now() -> datetime:
    """The process's own clock counts only until somebody has said what time it is."""
    if _known is None:
        return datetime.now(UTC)
    then, then_s = _known
    return then + timedelta(seconds=monotonic() - then_s)


def unix_s() -> float:
    """The same, in seconds since 1970."""
    return utc_now().timestamp()
