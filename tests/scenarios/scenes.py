"""Known causes: what is done, to whom, and what the product should call it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.chaos.rig import say
from tests.scenarios.stage import Stage, StageError, Till

SLOW_TTL_S = 12
SLOW = {"median_ms": 12_000, "sigma": 0.6}
"""Half of what is sent there comes after SLOW_TTL_S."""
MOST_ROUNDS = 8
"""Until each dead address was found; the guard lets suspects go when too many come at once."""


@dataclass(frozen=True, slots=True)
class Act:
    """What was ordered, and whom the cause hurts."""

    job_ids: Sequence[str]
    hurt: Sequence[Till]


@dataclass(frozen=True, slots=True)
class Scene:
    name: str
    cause: str
    """The verdict that is right."""
    act: Callable[[Stage], Act]
    about_presence: bool = False
    """Whether heartbeats decide: then the second look counts."""


def uplink(stage: Stage) -> Act:
    """Two sites lose their line, and it stays down."""
    cut, healthy = stage.at(1, 2), stage.at(3)
    stage.wait_until_all_were_heard()
    stage.trouble(cut=["site-001", "site-002"])
    stage.wait_until_silent(1, 2)
    return Act(stage.order([*cut, *healthy], 3), cut)


def blocked(stage: Stage) -> Act:
    """A firewall at one site lets everything through but FCM."""
    hurt = stage.at(3, channel="fcm")
    others = [till for till in stage.at(3) if till.channel != "fcm"]
    stage.trouble(blocked=[["site-003", "fcm"]])
    job_ids = stage.order([*hurt, *others[:20], *stage.at(5, channel="fcm")], 18)
    stage.wait_until_over(job_ids)
    stage.trouble(blocked=[])
    return Act(job_ids, hurt)


def denied(stage: Stage) -> Act:
    """A third of the tills at two sites has notifications off: half of them say so, half say nothing."""
    tills = [*stage.at(5)[:60], *stage.at(6)[:60]]
    hurt = tills[::3]
    codes = {till.device_id: "notifications_denied" if number % 2 else "" for number, till in enumerate(hurt)}
    stage.trouble(denied=codes)
    job_ids = stage.order(tills, 13)
    stage.wait_until_over(job_ids)
    stage.trouble(denied={})
    return Act(job_ids, hurt)


def slow(stage: Stage) -> Act:
    """One site's Wi-Fi takes seconds, and half of the messages come too late."""
    hurt = stage.at(4)
    stage.trouble(slow={"site-004": SLOW})
    job_ids = [*stage.order(hurt, 12, ttl_s=SLOW_TTL_S), *stage.order(stage.at(8), 2)]
    stage.wait_until_over(job_ids)
    stage.trouble(slow={})
    return Act(job_ids, hurt)


def outage(stage: Stage) -> Act:
    """APNs refuses every connection."""
    hurt = stage.at(3, 4, 5, 6, 7, 8, channel="apns")
    fault = stage.rig.services.fault("apns", "outage")
    job_ids = stage.order([*hurt, *stage.at(5, 6, channel="web_push")], 5)
    stage.wait_until_over(job_ids)
    stage.rig.services.heal(fault)
    return Act(job_ids, hurt)


def wrong_key(stage: Stage) -> Act:
    """Microsoft refuses our client secret, and the token that it gave before is taken no more."""
    hurt = stage.at(3, 4, 5, 6, 7, 8, channel="wns")
    fault = stage.rig.services.fault("wns", "answer", status=401, reason="invalid_client", at="token")
    stage.rig.services.expire_tokens("wns")
    job_ids = stage.order([*hurt, *stage.at(5, 6, channel="web_push")], 6)
    stage.wait_until_over(job_ids)
    stage.rig.services.heal(fault)
    return Act(job_ids, hurt)


def dead_addresses(stage: Stage) -> Act:
    """One app in twenty was removed; its push service says so."""
    sites = (3, 4, 5, 6, 7, 8)
    fcm = [till for till in stage.at(*sites, channel="fcm") if till.only_one_way]
    browsers = stage.at(*sites, channel="web_push")
    hurt = [*fcm[::20], *browsers[::20]]
    everybody = [*stage.at(*sites, channel="fcm"), *browsers]
    stage.retire(hurt)
    job_ids: list[str] = []
    for _ in range(MOST_ROUNDS):
        job_ids += stage.order(everybody, 1)
        stage.wait_until_over(job_ids)
        if _disabled(stage, hurt) == len(hurt):
            break
    else:
        raise StageError(f"{_disabled(stage, hurt)} of {len(hurt)} dead addresses were disabled")
    job_ids += stage.order([*hurt, *browsers[1:20]], 500 // len(hurt) + 1)
    stage.wait_until_over(job_ids)
    return Act(job_ids, hurt)


def _disabled(stage: Stage, tills: Sequence[Till]) -> int:
    return stage.rig.record.number(
        """SELECT count(*) FROM delivery_channel c JOIN delivery_device d ON d.id = c.device_id
           WHERE d.device_id = ANY(%s) AND c.state = 'disabled'""",
        [till.device_id for till in tills],
    )


def dead_worker(stage: Stage) -> Act:
    """The worker for MQTT is killed in the middle of its work, and nobody starts it again in time."""
    hurt = stage.at(3, 4, 5, 6, 7, 8, channel="mqtt")
    job_ids = stage.order(hurt, 1)
    stage.rig.kill("mqtt")
    job_ids += stage.order([*hurt, *stage.at(5, 6, channel="web_push")], 6)
    stage.wait_until_over(job_ids)
    stage.rig.start("mqtt")
    return Act(job_ids, hurt)


SCENES = [
    Scene("provider outage", "provider_down", outage),
    Scene("uplink cut", "uplink_down", uplink, about_presence=True),
    Scene("slow Wi-Fi", "too_late", slow, about_presence=True),
    Scene("FCM blocked", "blocked_at_site", blocked, about_presence=True),
    Scene("permission denied", "denied_on_device", denied, about_presence=True),
    Scene("wrong key", "our_credential", wrong_key),
    Scene("dead addresses", "address_gone", dead_addresses),
    Scene("dead worker", "never_handed_over", dead_worker),
]
"""In this order: every device was heard before heartbeats matter, and these have time to become complete."""


def play(scene: Scene, stage: Stage) -> Act:
    say(f"{scene.name}: {(scene.act.__doc__ or '').strip()}")
    return scene.act(stage)
