"""A claim changes nothing that stands in an index; beside the log a table says what each batch holds.

Stop the workers before it: what one that does not know the table holds when it dies would be freed by nobody.
"""

from collections import defaultdict
from typing import Any

from django.db import migrations, models

ROOM = {"push_notification_logs": 50, "delivery_channel": 85}
"""How much of a page inserts fill, in per cent: an update finds room beside its row, and then touches no index."""


def leave_room(_apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        for table, percent in ROOM.items():
            schema_editor.execute(f"ALTER TABLE {table} SET (fillfactor = {percent})")


def fill_up(_apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        for table in ROOM:
            schema_editor.execute(f"ALTER TABLE {table} RESET (fillfactor)")


def note_claims(apps: Any, _schema_editor: Any) -> None:
    """Of whoever died just before."""
    held: defaultdict[Any, list[int]] = defaultdict(list)
    rows = apps.get_model("delivery", "PushNotificationLog").objects.filter(status="pending", claim_token__isnull=False)
    for row_id, token, until in rows.values_list("id", "claim_token", "claimed_until"):
        held[token, until].append(row_id)
    claim = apps.get_model("delivery", "Claim")
    claim.objects.bulk_create(
        claim(token=token, claimed_until=until, held=ids) for (token, until), ids in held.items()
    )


class Migration(migrations.Migration):
    dependencies = [("delivery", "0010_site_by_time")]

    operations = [
        migrations.CreateModel(
            name="Claim",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("token", models.UUIDField(db_index=True)),
                ("claimed_until", models.DateTimeField()),
                ("held", models.JSONField(help_text="The row ids of its messages.")),
            ],
            options={"db_table": "delivery_claim"},
        ),
        migrations.RunPython(note_claims, migrations.RunPython.noop, elidable=True),
        migrations.RemoveIndex(model_name="pushnotificationlog", name="push_log_claimed_idx"),
        migrations.RunPython(leave_room, fill_up),
    ]
