"""Python's garbage collector, told what it need not look at again and again."""

import gc


def spare_what_is_here() -> None:
    """What a process was born with lives as long as it does. Collections come less often, too."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
