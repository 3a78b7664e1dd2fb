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
MOST_OVERTAKEN = 0.01
"""Of all messages: how many may have come in another way before they were sent."""


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

    A device may fetch from its inbox what a worker holds and sends a little later, or gives back unsent. Then the time
    of sending is later than its arrival, so that even a right clock looks wrong, or there is none; nor is there one
    where no attempt was answered.
    """
    skewed = bool(off_s)
    raw = f"received_at - acked_at BETWEEN make_interval(secs => %s) - {CLOSE} AND make_interval(secs => %s) + {CLOSE}"
    overtaken = "sent_at IS NULL OR (clock_skewed AND sent_at > received_at AND message_id::text = ANY(%s))"
    wrong = "latency_ms < 0 OR clock_skewed <> %s OR clock_skewed <> (latency_ms IS NULL)"
    fetched = [] if skewed else run.fetched()
    [found] = run.rig.record.rows(
        f"""SELECT count(*) FILTER (WHERE NOT ({raw})) AS changed, count(*) FILTER (WHERE {overtaken}) AS overtaken,
                   count(*) FILTER (WHERE ({wrong}) AND NOT ({overtaken})) AS wrong
            FROM push_notification_logs WHERE job_id = ANY(%s)""",
        off_s,
        off_s,
        fetched,
        skewed,
        fetched,
        job_ids,
    )
    if found["overtaken"] > MOST_OVERTAKEN * run.messages:
        run.problem(f"{found['overtaken']} messages have no good time of sending")
    say(f"clocks off by {off_s} s: {found['changed']} times not kept as they came, {found['wrong']} judged wrongly")
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
