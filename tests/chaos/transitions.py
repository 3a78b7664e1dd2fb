"""Every change of a message's status, noted by the database itself in the transaction that makes it."""

from tests.journey.production import Record

ACKED_AGAIN, DELETED = "acked again", "deleted"
LEGAL = {
    "": {"pending", "skipped"},
    "pending": {"sent", "delivered", "failed", "expired", "cancelled"},
    "sent": {"delivered", "expired", "cancelled"},
    "expired": {"delivered"},
    "failed": {"delivered"},
    "cancelled": {"delivered"},
}
"""From each status; '' is birth. No device here says `failed` and nothing is hedged, so `sent` has no other way."""

TRIGGERS = f"""
    CREATE TABLE chaos_transitions (id bigserial PRIMARY KEY, job_id text, message_id uuid, old text, new text);
    CREATE FUNCTION chaos_note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            INSERT INTO chaos_transitions (job_id, message_id, old, new)
            VALUES (NEW.job_id, NEW.message_id, '', NEW.status);
        ELSE
            INSERT INTO chaos_transitions (job_id, message_id, old, new)
            VALUES (OLD.job_id, OLD.message_id, OLD.status, COALESCE(TG_ARGV[0], NEW.status));
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER chaos_born AFTER INSERT ON push_notification_logs
        FOR EACH ROW EXECUTE FUNCTION chaos_note();
    CREATE TRIGGER chaos_moved AFTER UPDATE ON push_notification_logs
        FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION chaos_note();
    CREATE TRIGGER chaos_acked_again AFTER UPDATE ON push_notification_logs
        FOR EACH ROW WHEN (OLD.acked_at <> NEW.acked_at OR OLD.acked_at IS NOT NULL AND NEW.acked_at IS NULL)
        EXECUTE FUNCTION chaos_note('{ACKED_AGAIN}');
    CREATE TRIGGER chaos_deleted AFTER DELETE ON push_notification_logs
        FOR EACH ROW EXECUTE FUNCTION chaos_note('{DELETED}');
"""


def install(record: Record) -> None:
    record.execute(TRIGGERS)


def illegal(record: Record, job_ids: list[str]) -> list[str]:
    """Each illegal change of these jobs' messages, in words."""
    found = record.rows(
        "SELECT message_id, old, new FROM chaos_transitions WHERE job_id = ANY(%s) ORDER BY id", job_ids
    )
    return [
        f"{change['message_id']}: {change['old'] or 'born'} -> {change['new']}"
        for change in found
        if change["new"] not in LEGAL.get(change["old"], set())
    ]
