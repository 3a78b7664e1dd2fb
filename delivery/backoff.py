"""Pure: when to try again."""

import random

MOST_S = 6 * 3600.0


def retry_delay_s(
    attempt: int, *, base_s: float, cap_s: float, floor_s: float = 0.0, uniform: "random.Random | None" = None
) -> float:
    """Seconds until the next try after attempt number `attempt` (1 is the first): exponential, with full jitter.

    The delay is drawn from (0, min(cap, base x 2^(attempt-1))], so that a fleet that failed together does not come back
    together. `floor_s` is what the provider asked for (Retry-After): never sooner.
    """
    source = uniform or random
    ceiling_s = min(cap_s, base_s * 2.0 ** min(attempt - 1, 30))
    return min(MOST_S, floor_s + source.uniform(0.0, ceiling_s))
