"""Whose fault is a refused credential: ours, or that of one channel?"""

from delivery.outcomes import OutcomeKind

REFUSALS_THAT_ACCUSE_US = 20
"""In a row, without one acceptance in between."""


class Blame:
    """Tells a wrong credential from a single channel that was made for another one. One per credential and process.

    A service that has taken our credential, and refuses it for one channel, means that channel: `rejected`, so that
    nobody can pause a credential by registering an address of another app. A service that never took it, or that
    refuses it many times in a row, means us: `misconfigured`.
    """

    def __init__(self) -> None:
        self._refusals: dict[str, int] = {}

    def accepted(self, service: str) -> None:
        self._refusals[service] = 0

    def refused(self, service: str) -> OutcomeKind:
        """What the refusal that just came means. `service` names whoever judges the credential."""
        refusals = self._refusals.get(service)
        if refusals is None:
            return OutcomeKind.MISCONFIGURED
        self._refusals[service] = refusals + 1
        return OutcomeKind.REJECTED if refusals < REFUSALS_THAT_ACCUSE_US else OutcomeKind.MISCONFIGURED
