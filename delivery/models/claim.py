"""Which messages a batch holds, from its claim until every result of it is written: push_log_claims.py."""

from django.db import models


class Claim(models.Model):
    token = models.UUIDField(db_index=True)
    claimed_until = models.DateTimeField()
    held = models.JSONField(help_text="The row ids of its messages.")

    class Meta:
        db_table = "delivery_claim"

    def __str__(self) -> str:
        return str(self.token)
