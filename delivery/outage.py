"""Which errors mean that the database cannot serve at the moment, so that the same thing is worth trying again.

It is away, full, read-only, or somebody else held what was needed for too long. Nothing was written.
"""

from django.db import InterfaceError, InternalError, OperationalError

READ_ONLY = "25006"
TOLD = "The database is away. Try again in a few seconds; nothing was changed."
"""What a caller hears."""


def is_outage(error: BaseException) -> bool:
    if isinstance(error, InternalError):  # as the driver classes a write in a read-only transaction
        return getattr(error.__cause__, "sqlstate", "") == READ_ONLY
    return isinstance(error, OperationalError | InterfaceError)
