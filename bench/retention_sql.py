"""A month of the log made by the database itself, and the same table with a partition for each day."""

from bench.message_ids import made_at

DEVICES = """
    INSERT INTO delivery_device (device_id, name, platform, device_type, segment, lifecycle, capabilities, permissions,
        dna, health, clock_samples, key_hash, previous_key_hash, created_at)
    SELECT 'till-' || n, '', 'bench', '', '', 'active', '{}', '{}', '{}', 'unknown', '[]', '', '', now()
    FROM generate_series(1, 2000) AS n
"""
JOBS = """
    INSERT INTO delivery_job (job_id, name, target, payload, priority, ttl_s, collapse_key, status, created_at,
        fanned_out_at, cursor, last_device, ordered_by, body_hash)
    SELECT 'job-' || to_char(made_at, 'YYYYMMDDHH24MISSUS'), 'bench', '{"all": true}', '{"title": "Hello"}', 2, 300, '',
           'completed', made_at, made_at, 0, 0, 'key:bench', ''
    FROM (SELECT %s + n * %s * interval '1 second' AS made_at FROM generate_series(0, %s - 1) AS n) AS made
    RETURNING job_id, created_at
"""
ENDED = """
    WITH rows AS (
        SELECT j.job_id, j.created_at AS at, 'till-' || n AS device_id, random() AS luck
        FROM delivery_job AS j CROSS JOIN generate_series(1, 2000) AS n
        WHERE j.created_at >= %s AND j.created_at < %s),
    messages AS (
        INSERT INTO push_notification_logs (message_id, device_id, job_id, provider, credential, status, priority,
            created_at, expires_at, expired_at, sent_at, handoff_ms, received_at, acked_at, latency_ms, attempt_count,
            provider_message_id)
        SELECT @UUID@, device_id, job_id, 'fcm', 'default', CASE WHEN luck < 0.95 THEN 'delivered' ELSE 'expired' END,
            2, at, at + interval '5 minutes', CASE WHEN luck >= 0.95 THEN at + interval '5 minutes' END,
            at + interval '1 second', 80, CASE WHEN luck < 0.95 THEN at + interval '2 seconds' END,
            CASE WHEN luck < 0.95 THEN at + interval '2 seconds' END, CASE WHEN luck < 0.95 THEN 1000 END, 1,
            'projects/bench/messages/' || gen_random_uuid()
        FROM rows
        RETURNING id, message_id, status, created_at),
    receipts AS (
        INSERT INTO push_delivery_logs (id, push_id, status, details, created_at)
        SELECT gen_random_uuid(), message_id, 'delivered', '{"platform": "bench"}', created_at
        FROM messages WHERE status = 'delivered')
    INSERT INTO delivery_deliveryattempt (push_id, provider, started_at, took_ms, outcome, code, detail)
    SELECT id, 'fcm', created_at, 80, 'retry', 'UNAVAILABLE', '' FROM messages WHERE random() < 0.05
""".replace("@UUID@", made_at("at"))
"""What a day leaves: 95 in 100 delivered with a receipt, 5 in 100 expired, 5 in 100 tried in vain first."""
PENDING = """
    INSERT INTO push_notification_logs (message_id, device_id, job_id, provider, credential, status, priority,
        created_at, next_attempt_at, expires_at)
    SELECT gen_random_uuid(), 'till-' || n, job_id, 'fcm', 'default', 'pending', 2, created_at, created_at,
           now() + interval '1 day'
    FROM delivery_job CROSS JOIN generate_series(1, 2000) AS n WHERE job_id = ANY(%s)
"""

PARTED = """
    ALTER TABLE push_delivery_logs DROP CONSTRAINT "@RECEIPTS@";
    ALTER TABLE delivery_deliveryattempt DROP CONSTRAINT "@ATTEMPTS@";
    CREATE TABLE parted (LIKE push_notification_logs INCLUDING DEFAULTS INCLUDING IDENTITY)
        PARTITION BY RANGE (created_at);
    DROP TABLE push_notification_logs CASCADE;
    ALTER TABLE parted RENAME TO push_notification_logs;
    ALTER TABLE push_notification_logs ADD PRIMARY KEY (id, created_at);
    CREATE UNIQUE INDEX ON push_notification_logs (message_id, created_at);
    CREATE UNIQUE INDEX ON push_notification_logs (job_id, device_id, created_at);
    ALTER TABLE push_notification_logs ADD FOREIGN KEY (device_id) REFERENCES delivery_device (device_id);
    ALTER TABLE push_notification_logs ADD FOREIGN KEY (job_id) REFERENCES delivery_job (job_id);
    ALTER TABLE push_notification_logs ADD FOREIGN KEY (site_id) REFERENCES delivery_site (site_id);
    ALTER TABLE push_notification_logs ADD FOREIGN KEY (channel_id) REFERENCES delivery_channel (id);
"""
"""Every unique key has to hold the day, so nothing can refer to a message by its id alone any more."""
PLAIN_INDEXES = """
    SELECT indexdef FROM pg_indexes WHERE tablename = 'push_notification_logs' AND indexdef NOT LIKE 'CREATE UNIQUE%'
"""
REFERRING = """
    SELECT conname FROM pg_constraint WHERE contype = 'f' AND confrelid = 'push_notification_logs'::regclass
    AND conrelid = %s::regclass
"""
"""The key by which a table refers to messages."""
SIZES = """
    SELECT pg_table_size('push_notification_logs'), pg_indexes_size('push_notification_logs'),
           pg_total_relation_size('push_delivery_logs') + pg_total_relation_size('delivery_deliveryattempt')
"""
VACUUM_OFTEN = """
    ALTER TABLE @TABLE@ SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05)
"""
