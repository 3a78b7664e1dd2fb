"""The statements that write a large log: a fleet, its jobs, and what became of each message. See log_rows.py."""

DEVICES_PER_SITE = 100
PER_JOB = 2_000
"""Every tenth device, so that each job reaches each site."""

FLEET = """
    INSERT INTO delivery_site (site_id, name, timezone, trading_hours, bootstrap_key_hash, created_at)
    SELECT 'big-' || lpad(n::text, 4, '0'), 'Big site ' || n, 'Europe/Berlin', '{}', '', now() - interval '60 days'
    FROM generate_series(1, %(devices)s / 100) AS n;

    INSERT INTO delivery_device (device_id, site_id, name, platform, device_type, segment, lifecycle, capabilities,
        permissions, dna, health, clock_offset_ms, last_heartbeat_at, clock_samples, key_hash, previous_key_hash,
        created_at)
    SELECT 'big-till-' || lpad(n::text, 6, '0'), 'big-' || lpad((n / 100 + 1)::text, 4, '0'), '', 'android',
        'pos_terminal', '', 'active', '{}', '{}', '{}', 'healthy', 0,
        now() - CASE WHEN n %% 50 = 0 THEN interval '3 hours' ELSE interval '20 seconds' END, '[]', '', '',
        now() - interval '60 days'
    FROM generate_series(0, %(devices)s - 1) AS n;

    INSERT INTO delivery_channel (device_id, provider, credential, address, address_hash, rank, environment, state,
        created_at, registered_at, last_used_at, disabled_by, disabled_code)
    SELECT id, (ARRAY['fcm', 'apns', 'wns', 'web_push', 'mqtt'])[1 + (n / 100 + n / 10 %% 10 %% 3) %% 5], 'default',
        'token-' || device_id, encode(sha256(convert_to(device_id, 'UTF8')), 'hex'), 0, '', 'active',
        now() - n %% 50 * interval '1 day', now() - n %% 50 * interval '1 day', now(), '', ''
    FROM (SELECT id, device_id, substr(device_id, 10)::int AS n FROM delivery_device WHERE device_id LIKE 'big-till-%%')
        AS made;

    INSERT INTO delivery_connectivity (device_id, online_from, last_seen, closed_at)
    SELECT id, day + interval '1 hour', day + interval '23 hours', day + interval '1 day'
    FROM delivery_device, generate_series(now() - interval '%(days)s days', now() - interval '1 day', '1 day') AS day
    WHERE device_id LIKE 'big-till-%%';
"""
"""Three of the five providers at each site; a span of connectivity for each device and day."""

JOBS = """
    INSERT INTO delivery_job (job_id, name, target, payload, priority, ttl_s, collapse_key, status, created_at,
        fanned_out_at, completed_at, cursor, last_device, ordered_by, body_hash, frozen_progress)
    SELECT 'big-' || lpad(number::text, 7, '0'), 'New prices', '{"all": true}', '{"title": "New prices", "body": ""}',
        number %% 4, 900, '', 'completed', at, at, at, 0, 0, 'key:bench', '', '{}'
    FROM unnest(%s::bigint[], %s::timestamptz[]) AS made(number, at)
"""

PICKED = """
    CREATE TEMP TABLE picked AS
    SELECT substr(d.device_id, 10)::int AS number, d.device_id, d.site_id, c.provider, c.id AS channel_id
    FROM delivery_device AS d JOIN delivery_channel AS c ON c.device_id = d.id WHERE d.device_id LIKE 'big-till-%'
"""

MESSAGES = """
    WITH drawn AS (
        SELECT n, random() AS fate, random() AS tail, random() AS opened,
               exp(3 + sqrt(-2 * ln(1 - random())) * cos(6.283 * random())) AS queue_ms,
               exp(4 + 0.4 * sqrt(-2 * ln(1 - random())) * cos(6.283 * random())) AS handoff_ms,
               exp(5 + 0.8 * sqrt(-2 * ln(1 - random())) * cos(6.283 * random())) AS transit_ms,
               exp(3.5 + 0.6 * sqrt(-2 * ln(1 - random())) * cos(6.283 * random())) AS return_ms
        FROM generate_series(%(first)s::bigint, %(end)s::bigint - 1) AS n),
    went AS (
        SELECT n, opened, least(handoff_ms, 30000)::int AS handoff_ms,
               (handoff_ms + transit_ms * CASE WHEN tail < 0.03 THEN 30 ELSE 1 END)::bigint AS latency_ms,
               queue_ms * interval '1 ms' AS queue, return_ms * interval '1 ms' AS back,
               j.created_at, j.job_id, j.priority, j.created_at > %(open_since)s AS fresh, p.*,
               CASE WHEN fate < 0.955 THEN 'in_time' WHEN fate < 0.960 THEN 'late' WHEN fate < 0.973 THEN 'unacked'
                    WHEN fate < 0.975 THEN 'unsent' WHEN fate < 0.985 THEN 'failed' WHEN fate < 0.987 THEN 'cancelled'
                    WHEN fate < 0.988 THEN 'skipped' WHEN fate < 0.990 THEN 'skewed' ELSE 'in_time' END AS fate
        FROM drawn
        JOIN delivery_job AS j ON j.job_id = 'big-' || lpad((n / 2000)::text, 7, '0')
        JOIN picked AS p ON p.number = n %% 2000 * (%(devices)s / 2000) + n / 2000 %% (%(devices)s / 2000)),
    known AS (
        SELECT *, CASE WHEN fate IN ('in_time', 'late', 'skewed') AND NOT (fresh AND fate = 'late') THEN 'delivered'
                       WHEN fresh AND fate IN ('late', 'unacked') THEN 'sent'
                       WHEN fresh AND fate = 'unsent' THEN 'pending'
                       WHEN fate IN ('unacked', 'unsent') THEN 'expired' ELSE fate END AS status,
               CASE WHEN fate IN ('in_time', 'late', 'skewed', 'unacked') THEN created_at + queue END AS sent
        FROM went)
    INSERT INTO push_notification_logs (message_id, device_id, job_id, site_id, provider, credential, channel_id,
        status, priority, created_at, next_attempt_at, sent_at, handoff_ms, expires_at, expired_at, received_at,
        clock_offset_ms, clock_skewed, acked_at, opened_at, clicked_at, latency_ms, provider_message_id, fallback_from,
        error_code, verdict, evidence)
    SELECT (lpad(to_hex((extract(epoch FROM created_at) * 1000)::bigint + n %% 2000 / 20), 12, '0')
               || '7' || substr(md5(n::text), 1, 19))::uuid,
        device_id, job_id, site_id, provider, 'default', channel_id, status, priority, created_at,
        CASE WHEN status = 'pending' THEN now() + interval '1 hour' END,
        sent, CASE WHEN sent IS NOT NULL THEN handoff_ms END,
        created_at + CASE WHEN fresh THEN interval '1 day' ELSE interval '15 minutes' END,
        CASE WHEN status = 'expired' OR (fate = 'late' AND status = 'delivered') THEN created_at + interval '15 minutes'
             END,
        received, CASE WHEN received IS NOT NULL THEN 0 END, fate = 'skewed', received + back,
        CASE WHEN opened < 0.05 THEN received + back + interval '30 s' * opened END,
        CASE WHEN opened < 0.02 THEN received + back + interval '40 s' * opened END,
        CASE WHEN received IS NOT NULL AND fate <> 'skewed' THEN latency_ms + overdue_ms END,
        CASE WHEN sent IS NOT NULL THEN 'projects/big/messages/0:' || n ELSE '' END,
        CASE WHEN n %% 60 = 7 THEN 'wns' ELSE '' END,
        CASE WHEN fate = 'failed' THEN (ARRAY['UNREGISTERED', 'UNAVAILABLE', 'QUOTA_EXCEEDED'])[1 + n %% 3]
             WHEN fate IN ('cancelled', 'skipped') THEN fate ELSE '' END,
        CASE WHEN status = 'failed' THEN (ARRAY['address_gone', 'provider_down', 'throttled'])[1 + n %% 3]
             WHEN status = 'cancelled' THEN 'cancelled' WHEN status = 'delivered' AND fate = 'late' THEN 'too_late'
             WHEN status = 'expired' AND sent IS NULL THEN 'never_handed_over'
             WHEN status = 'expired' THEN (ARRAY['device_offline', 'uplink_down', 'unknown'])[1 + n %% 3]
             ELSE '' END,
        CASE WHEN status IN ('failed', 'expired') THEN 'No heartbeat between its order and its end.' ELSE '' END
    FROM (SELECT *, CASE WHEN status = 'delivered' THEN sent + (latency_ms + overdue_ms) * interval '1 ms' END
                 AS received
          FROM (SELECT *, CASE WHEN fate = 'late' THEN 1200000 ELSE 0 END AS overdue_ms FROM known) AS timed) AS written
"""
"""Numbers `first` up to `end`, in the order of their jobs. 96 of 100 are delivered, 5 of 1,000 late."""

RECEIPTS = """
    INSERT INTO push_delivery_logs (id, push_id, status, details, created_at)
    SELECT (lpad(to_hex((extract(epoch FROM acked_at) * 1000)::bigint), 12, '0') || substr(message_id::text, 15, 4)
               || replace(substr(message_id::text, 20), '-', ''))::uuid,
           message_id, 'delivered', '{}', acked_at
    FROM push_notification_logs WHERE id > %s AND status = 'delivered'
"""

ATTEMPTS = """
    INSERT INTO delivery_deliveryattempt (push_id, provider, channel_id, started_at, took_ms, outcome, code, detail)
    SELECT id, provider, channel_id, created_at, 40, (ARRAY['address_gone', 'retry', 'throttled'])[1 + id %% 3],
           (ARRAY['UNREGISTERED', 'UNAVAILABLE', 'QUOTA_EXCEEDED'])[1 + id %% 3], ''
    FROM push_notification_logs WHERE id > %s AND (status = 'failed' OR (sent_at IS NOT NULL AND id %% 50 = 0))
"""
"""Of what failed, and of one in fifty that were taken at the second time."""

PROGRESS = """
    UPDATE delivery_job AS j SET frozen_progress = jsonb_build_object('targeted', c.targeted, 'pending', c.pending,
        'sent', c.sent, 'delivered', c.delivered - c.late, 'late', c.late, 'failed', c.failed, 'expired', c.expired,
        'cancelled', c.cancelled, 'skipped', c.skipped)
    FROM (SELECT job_id, count(*) AS targeted, count(*) FILTER (WHERE status = 'pending') AS pending,
                 count(*) FILTER (WHERE status = 'sent') AS sent,
                 count(*) FILTER (WHERE status = 'delivered') AS delivered,
                 count(*) FILTER (WHERE status = 'delivered' AND expired_at IS NOT NULL) AS late,
                 count(*) FILTER (WHERE status = 'failed') AS failed,
                 count(*) FILTER (WHERE status = 'expired') AS expired,
                 count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
                 count(*) FILTER (WHERE status = 'skipped') AS skipped
          FROM push_notification_logs WHERE id > %s GROUP BY job_id) AS c
    WHERE j.job_id = c.job_id
"""

ZOMBIES = """
    INSERT INTO analytics_zombie (device_id, channel_id, site_id, provider, found_at, last_seen, pushes, first_push_at,
        rung, rung_at, next_at, probe_code, closed_why)
    SELECT device_id, channel_id, site_id, provider, now() - interval '2 hours', now(), 4, now() - interval '20 hours',
           'ticket', now() - interval '1 hour', NULL, 'valid', ''
    FROM picked WHERE number % 200 = 11
"""

INDEXES = """
    SELECT i.indexname, i.indexdef FROM pg_indexes AS i
    WHERE i.schemaname = current_schema() AND i.tablename = ANY(%s)
      AND NOT EXISTS (SELECT 1 FROM pg_constraint AS c WHERE c.conname = i.indexname)
"""
