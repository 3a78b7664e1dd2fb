"""What each number means, in one place: tooltips, the API's description and docs/numbers.md say these words."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Definition:
    name: str
    text: str
    part: str = ""
    """A rate divides this sum of rollup fields ..."""
    whole: str = ""
    """... by this one."""


DELIVERY_RATE = Definition(
    "Delivery rate",
    "Messages that the device confirmed in time, of those that a provider or the inbox took.",
    "delivered",
    "handed_over",
)
SUCCESS_RATE = Definition(
    "Success rate", "Messages that the device confirmed in time, of all that were ordered.", "delivered", "ordered"
)
FALLBACK_RATE = Definition(
    "Fallback rate",
    "Messages that went on to another provider than their first, of those that a provider or the inbox took.",
    "fallback",
    "handed_over",
)
ERROR_RATE = Definition(
    "Error rate", "Attempts that a provider did not accept, of all attempts on it, in the hour of the attempt.",
    "refused", "attempted",
)  # fmt: skip
OPEN_RATE = Definition(
    "Open rate", "Messages that a person opened, of those that the device has, late ones among them.", "opened",
    "arrived",
)  # fmt: skip
CLICK_RATE = Definition(
    "Click rate", "Messages that a person clicked, of those that the device has, late ones among them.", "clicked",
    "arrived",
)  # fmt: skip
REACHABILITY = Definition(
    "Reachability", "Devices with at least one active channel, of all that are neither suspended nor retired.",
    "reachable", "devices",
)  # fmt: skip

MESSAGES = Definition(
    "Messages",
    "One job for one device, counted in the hour of its order under the provider that took it, else under the first "
    "that it was meant for. Each is in exactly one state.",
)
NOT_DELIVERED = Definition(
    "Not delivered", "Failed and expired, of what has ended and was neither cancelled nor skipped."
)
ZOMBIES = Definition(
    "Zombie devices",
    "Seen online, at least 3 pushes accepted for them in 24 hours, and none confirmed.",
)
LATENCY = Definition(
    "Latency", "From the start of the accepted attempt to the device's receipt, by a corrected clock; in time only."
)
P95 = Definition("p95 latency", f"95 of 100 took no longer. {LATENCY.text}")
QUEUE_WAIT = Definition("Queue wait", "From the order to the start of the attempt that was accepted.")
HANDOFF = Definition("Hand-off", "How long the provider took to accept, or until the device had it if that was sooner.")
TRANSIT = Definition("Transit", "From the provider's acceptance to the device's receipt, by a corrected clock.")
ACK_RETURN = Definition("Ack return", "From the device's receipt to our commit of its ack.")
END_TO_END = Definition("End to end", "From the order to our commit of the ack: queue, hand-off, transit, ack return.")
TIME_TO_OPEN = Definition("Time to open", "From the device's receipt until a person opened it.")
SKEWED = Definition(
    "Skewed clock", "Arrived, but the device's clock made no sense even when corrected: left out of every latency."
)

STATES = {
    "delivered": Definition("Delivered", "The device confirmed it in time."),
    "late": Definition("Late", "The device confirmed it after its time to live."),
    "failed": Definition("Failed", "No channel took it, or the device refused it."),
    "expired": Definition("Expired", "Its time to live ended without a confirmation."),
    "cancelled": Definition("Cancelled", "Called off by a person or a program."),
    "skipped": Definition("Skipped", "Targeted, but never to be sent."),
    "open": Definition("Open", "Not ended yet: it waits, or was sent and not confirmed."),
}
"""Every message is in exactly one of these: together they are what was ordered."""

JUDGED = ("late", "failed", "expired", "cancelled")
"""Whoever is in one of these has a verdict, or is not judged yet."""
NOT_JUDGED = Definition("Not judged", "Not delivered in time, and its verdict is still to come.")

RATES = {
    "delivery_rate": DELIVERY_RATE,
    "success_rate": SUCCESS_RATE,
    "fallback_rate": FALLBACK_RATE,
    "error_rate": ERROR_RATE,
    "open_rate": OPEN_RATE,
    "click_rate": CLICK_RATE,
}
TIMES = {
    "latency": LATENCY,
    "queue": QUEUE_WAIT,
    "handoff": HANDOFF,
    "transit": TRANSIT,
    "ack_return": ACK_RETURN,
    "end_to_end": END_TO_END,
    "to_open": TIME_TO_OPEN,
}


def share(part: int, whole: int) -> float | None:
    """A rate from 0 to 1; None where there was nothing to divide by."""
    return part / whole if whole else None
