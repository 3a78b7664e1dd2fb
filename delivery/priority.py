"""Pure: how urgent a message is. The smaller number goes first."""

from enum import IntEnum


class Priority(IntEnum):
    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3

    @property
    def word(self) -> str:
        """The spelling on the wire: `critical`, `high`, `normal` or `low`."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> "Priority":
        """Read the spelling on the wire; `ValueError` for any other word."""
        try:
            return cls[word.upper()]
        except KeyError:
            raise ValueError(f"priority must be one of {', '.join(PRIORITY_WORDS)}") from None


PRIORITY_WORDS = tuple(priority.word for priority in Priority)
