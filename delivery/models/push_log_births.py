"""How messages are born: one statement looks up the devices' channels, chooses and writes. `routing` says by what rule.

Nothing of a row passes through Python but its device's row id and its message id.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from delivery.models import setwise
from delivery.models.keys import new_message_ids
from delivery.models.push_log_questions import LOG, PushLogQuestions

EMPTY_JSON = """('null', 'false', '0', '""', '[]', '{}')"""
"""What counts as not declared."""


def _declared(capability: str) -> str:
    return f"COALESCE(CAST(d.capabilities -> '{capability}' AS text), 'null') NOT IN {EMPTY_JSON}"


NO_FCM = f"""((NOT {_declared("fcm_token")} AND {_declared("mqtt_client_id")})
              OR COALESCE(CAST(d.capabilities -> 'has_gms' AS text), '') = 'false')"""

HAS_MQTT = """(SELECT MAX(CASE WHEN o.provider = 'mqtt' THEN 1 ELSE 0 END) FROM delivery_channel AS o
                        WHERE o.device_id = d.id AND o.state = 'active')"""
"""Not an EXISTS: a plan for that may read every channel of MQTT."""


class PushLogBirths(PushLogQuestions):
    def insert_for(
        self, devices: Sequence[int], *, job_id: str, priority: int, created_at: datetime, expires_at: datetime,
        open_now: Collection[tuple[str, str]], usable: Collection[tuple[str, str]], by: Mapping[int, int],
    ) -> Counter[str]:  # fmt: skip
        """A row for each of these devices (row ids) that has none of this job yet; how many each provider is to send.

        A message takes the first of its device's ways that is `open_now`, else the first that is `usable` (both name
        (provider, credential)), else it waits in the inbox. `by` names a channel (row id) to take before all others.
        """
        targeted, device_params = setwise.rows(
            {"device": "bigint", "message_id": "uuid", "chosen": "bigint"},
            [(pk, ident, by.get(pk)) for pk, ident in zip(devices, new_message_ids(len(devices)), strict=True)],
        )
        carriers, carrier_params = setwise.rows(
            {"provider": "text", "credential": "text", "closed": "bigint"},
            [(*pair, int(pair not in open_now)) for pair in sorted(usable)],
        )
        born = setwise.fetch(
            f"""
            INSERT INTO {LOG} (message_id, device_id, site_id, provider, credential, channel_id, fallback_from, status,
                               error_code, job_id, priority, created_at, expires_at, next_attempt_at)
            WITH targeted AS (SELECT * FROM {targeted}), carriers AS (SELECT * FROM {carriers}),
            ways AS (
                SELECT t.message_id, t.device, d.device_id, d.site_id, d.lifecycle, d.key_hash,
                       c.id, c.provider, c.credential, c.rank, COALESCE(r.closed, 2) AS closed,
                       CASE WHEN c.id = t.chosen THEN 0 ELSE 1 END AS others,
                       CASE WHEN c.provider <> 'fcm' OR NOT {NO_FCM} THEN 0 ELSE {HAS_MQTT} END AS declared_away
                FROM targeted AS t
                JOIN delivery_device AS d ON d.id = t.device
                LEFT JOIN delivery_channel AS c ON c.device_id = d.id AND c.state = 'active'
                LEFT JOIN carriers AS r ON r.provider = c.provider AND r.credential = c.credential),
            placed AS (
                SELECT ways.*, FIRST_VALUE(provider) OVER by_rank AS first_provider,
                       FIRST_VALUE(id) OVER by_rank AS first_channel,
                       ROW_NUMBER() OVER (PARTITION BY device ORDER BY closed, others, declared_away, rank, id) AS turn
                FROM ways
                WINDOW by_rank AS (PARTITION BY device ORDER BY others, declared_away, rank, id)),
            births AS (
                SELECT message_id, device_id, site_id, first_provider, first_channel,
                       CASE WHEN closed < 2 THEN id END AS channel_id,
                       CASE WHEN closed < 2 THEN provider ELSE 'inbox' END AS provider,
                       CASE WHEN closed < 2 THEN credential ELSE '' END AS credential,
                       CASE WHEN lifecycle IN ('suspended', 'retired') THEN 'device_' || lifecycle
                            WHEN closed = 2 AND key_hash = '' THEN 'no_channel' ELSE '' END AS skipped
                FROM placed WHERE turn = 1)
            SELECT message_id, device_id, site_id, provider, credential, channel_id,
                   CASE WHEN skipped <> '' OR first_channel IS NULL OR first_channel = channel_id THEN ''
                        ELSE first_provider END,
                   CASE WHEN skipped = '' THEN 'pending' ELSE 'skipped' END, skipped,
                   %s, %s, {setwise.moment()}, {setwise.moment()},
                   CASE WHEN skipped = '' AND provider <> 'inbox' THEN {setwise.moment()} END
            FROM births WHERE true
            ON CONFLICT (job_id, device_id) DO NOTHING
            RETURNING provider, status
            """,
            [*device_params, *carrier_params, job_id, priority, created_at, expires_at, created_at],
            ["text", "text"],
            prepared=True,
        )
        return Counter(provider for provider, status in born if status == "pending" and provider != "inbox")
