from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("analytics", "0005_retention")]

    operations = [
        migrations.CreateModel(
            name="HourlyTotal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("hour", models.DateTimeField()),
                ("provider", models.CharField(max_length=20)),
                (
                    "counted_at",
                    models.DateTimeField(
                        help_text="Of the hour, when this was summed. Counted again, it is out of date."
                    ),
                ),
                ("sums", models.JSONField(help_text="The fields of its rollups, summed.")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("hour", "provider"), name="total_once_per_provider")]
            },
        ),
    ]
