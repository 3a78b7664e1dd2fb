"""Which credentials may send now. A row behind a closed gate waits unclaimed and uses up no attempt."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from delivery.models import ProviderState
from delivery.models.provider_state import Breaker


def open_credentials(provider: str, configured: Iterable[str], now: datetime) -> list[str]:
    """The configured credentials of a provider that may send at this moment."""
    waiting = set(
        ProviderState.objects.filter(provider=provider, state=Breaker.OPEN, until__gt=now).values_list(
            "credential", flat=True
        )
    )
    return [credential for credential in configured if credential not in waiting]


def pause(provider: str, credential: str, *, why: str, now: datetime, seconds: float) -> None:
    """Send nothing with this credential for a while; a longer pause that stands already stays."""
    until = now + timedelta(seconds=seconds)
    state, created = ProviderState.objects.get_or_create(
        provider=provider,
        credential=credential,
        defaults={"state": Breaker.OPEN, "until": until, "why": why[:200]},
    )
    if not created:
        ProviderState.objects.filter(pk=state.pk).exclude(state=Breaker.OPEN, until__gte=until).update(
            state=Breaker.OPEN, until=until, why=why[:200], changed_at=now
        )
