"""Message ids as the product makes them, in SQL: they begin with their time, and what is new is found by it."""


def made_at(moment: str) -> str:
    """SQL for an id of version 7 of a time expression; the rest of it is random."""
    return (
        f"(lpad(to_hex((extract(epoch FROM {moment}) * 1000)::bigint), 12, '0') || '7'"
        " || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid"
    )
