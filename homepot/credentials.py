"""Each provider's `default` credential as the environment names it, in the spellings of the older systems too.

More credentials, by name: CREDENTIALS_FILE (delivery/credentials.py).
"""

import logging
from typing import Any

from homepot import env

log = logging.getLogger(__name__)


def from_environment(*, window: int, deadline_s: float) -> dict[str, dict[str, dict[str, Any]]]:
    """Provider -> credential -> its settings. A provider of which nothing is set is left out: it is unavailable."""
    found = {
        "fcm": _fcm(),
        "apns": {
            "key_file": env.file("APNS_KEY_PATH"),
            "key_id": env.text("APNS_KEY_ID"),
            "team_id": env.text("APNS_TEAM_ID"),
            "topic": env.text("APNS_TOPIC"),
        },
        "wns": {
            "client_id": env.text("WNS_CLIENT_ID"),
            "client_secret": env.secret("WNS_CLIENT_SECRET"),
            "tenant_id": env.text("WNS_TENANT_ID"),
        },
        "web_push": {
            "private_key": env.secret("WEB_PUSH_PRIVATE_KEY") or env.secret("WEB_PUSH_VAPID_PRIVATE_KEY"),
            "subject": env.text("WEB_PUSH_CLAIMS_EMAIL") or env.text("WEB_PUSH_VAPID_SUBJECT"),
            "allowed_hosts": env.text("WEB_PUSH_ALLOWED_HOSTS"),
        },
        "mqtt": {
            "url": env.url("MQTT_URL", "", schemes=("mqtt", "mqtts")),
            "ca_file": env.file("MQTT_CA_FILE"),
        },
    }
    providers = {
        name: {"default": {key: value for key, value in config.items() if value}}
        for name, config in found.items()
        if any(config.values())
    }
    if "mqtt" in providers:
        providers["mqtt"]["default"] |= {"window": window, "deadline_s": deadline_s}
    simulation = _simulation()
    if env.boolean("ALLOW_SIMULATION"):
        providers["simulation"] = {"default": simulation | {"deadline_s": deadline_s}}
    return providers


def _fcm() -> dict[str, Any]:
    config = {
        "service_account_file": env.file("FCM_SERVICE_ACCOUNT_FILE"),
        "project_id": env.text("FCM_PROJECT_ID"),
    }
    if env.text("FCM_SERVER_KEY") and not config["service_account_file"]:
        log.warning(
            "FCM_SERVER_KEY belongs to an API that Google shut down in 2024. FCM stays unavailable: "
            "set FCM_SERVICE_ACCOUNT_FILE, see docs/providers/fcm.md"
        )
    return config


def _simulation() -> dict[str, Any]:
    config = {
        "profile": env.choice("SIMULATION_PROFILE", "office", ("ideal", "office", "bad-wifi", "terrible")),
        "success_rate": env.number_or_none("SIMULATION_SUCCESS_RATE", maximum=1),
        "answer_median_ms": env.number_or_none("SIMULATION_ANSWER_MEDIAN_MS"),
        "answer_sigma": env.number_or_none("SIMULATION_ANSWER_SIGMA"),
        "median_ms": env.number_or_none("SIMULATION_MEDIAN_MS"),
        "sigma": env.number_or_none("SIMULATION_SIGMA"),
        "ack_rate": env.number_or_none("SIMULATION_ACK_RATE", maximum=1),
        "error_mix": env.weights("SIMULATION_ERROR_MIX", ("retry", "throttled", "address_gone", "rejected")),
        "seed": env.text("SIMULATION_SEED"),
    }
    return {key: value for key, value in config.items() if value not in (None, "", {})}
