from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("delivery", "0008_missed_by_time")]

    operations = [
        migrations.AddIndex(
            model_name="pushnotificationlog",
            index=models.Index(fields=["site", "created_at"], name="push_log_site_idx"),
        ),
    ]
