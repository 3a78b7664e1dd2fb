from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("delivery", "0009_retention")]

    operations = [
        migrations.AddIndex(
            model_name="pushnotificationlog",
            index=models.Index(fields=["site", "created_at"], name="push_log_site_idx"),
        ),
    ]
