from tests import faketime
from tests.chaos.case import Case
from tests.chaos.rig import START_S, say
from tests.chaos.run import Run

YEAR_S = 365 * 86_400
OFF_S = (0, YEAR_S, -YEAR_S)
CLOSE = "interval '5 minutes'"
COUNTED_S = 60.0
LONGEST_MS = 3_600_000
"""For any part of a message's way here."""
HELD = "claim_token IS NOT NULL AND claimed_until > now()"
NEVER_SENT = "sent_at IS NULL"
MOST_NEVER_SENT = 0.01


def inject(run: Run) -> None:
    """A third of the messages each with clocks that are right, a year ahead, and a year behind."""
    if faketime.library() is None:
        run.problem(faketime.MISSING)
        return
    jobs_before = 0
    for off_s in OFF_S:
        run.rig.fleet.process.kill()
        run.rig.fleet.start(**(faketime.off_by(off_s) if off_s else {}))
        run.rig.fleet.wait_until_connected(START_S)
        run.order(run.messages // len(OFF_S) if off_s != OFF_S[-1] else None)
        run.wait_until(lambda: run.delivered() == run.ordered, "messages delivered")
        run.wait_until(lambda: run.count(HELD) == 0, "results written")
        judge(run, run.job_ids[jobs_before:], off_s)
        jobs_before = len(run.job_ids)
    judge_numbers(run)


def judge(run: Run, job_ids: list[str], off_s: int) -> None:
    """What is written about the messages of devices whose clocks are off by so much.

    Nobody knows when a message was sent that came although no attempt was answered, or that its device fetched before
    its holder's first: it has no latency. They are few.
    """
    raw = f"received_at - acked_at BETWEEN make_interval(secs => %s) - {CLOSE} AND make_interval(secs => %s) + {CLOSE}"
    skewed = bool(off_s)
    wrong = f"(latency_ms < 0 OR clock_skewed <> %s OR clock_skewed <> (latency_ms IS NULL)) AND NOT {NEVER_SENT}"
    [found] = run.rig.record.rows(
        f"""SELECT count(*) FILTER (WHERE NOT ({raw})) AS changed, count(*) FILTER (WHERE {wrong}) AS wrong,
                   count(*) FILTER (WHERE {NEVER_SENT}) AS never_sent
            FROM push_notification_logs WHERE job_id = ANY(%s)""",
        off_s,
        off_s,
        skewed,
        job_ids,
    )
    say(f"clocks off by {off_s} s: {found['changed']} times not kept as they came, {found['wrong']} judged wrongly")
    if found["never_sent"] > MOST_NEVER_SENT * run.messages:
        run.problem(f"{found['never_sent']} messages came without a time at which they were sent")
    if found["changed"] or found["wrong"]:
        run.problem(f"with clocks off by {off_s} s, {found['changed']} times changed, {found['wrong']} judged wrongly")


def judge_numbers(run: Run) -> None:
    """The hourly numbers know each delivery, and no latency by a clock that was off."""
    timed = run.count("latency_ms IS NOT NULL")
    expected = {
        "delivered": run.messages,
        "skewed": run.count("clock_skewed"),
        "timed": timed,
        "histogram": timed,
        "absurd": 0,
    }
    run.wait_until(lambda: counted(run) == expected, f"hourly numbers {expected}", COUNTED_S)
    say(f"the hourly numbers: {counted(run)}")


def counted(run: Run) -> dict[str, int]:
    [row] = run.rig.record.rows(
        """SELECT sum(delivered)::int AS delivered, sum(skewed)::int AS skewed, sum(latency_count)::int AS timed,
                  sum((SELECT sum((bucket.value ->> 0)::int) FROM jsonb_each(latency) AS bucket))::int AS histogram,
                  sum((SELECT count(*) FROM jsonb_each(times) AS part, jsonb_each(part.value) AS bucket
                       WHERE NOT (bucket.value ->> 3)::bigint BETWEEN 0 AND %s))::int AS absurd
           FROM analytics_hourlyrollup""",
        LONGEST_MS,
    )
    return row


CASE = Case(
    name="clock-device",
    sentence="The clocks of devices are a year ahead or behind: kept as they came, flagged, in no percentile.",
    inject=inject,
)
