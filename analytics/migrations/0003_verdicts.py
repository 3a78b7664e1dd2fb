from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('analytics', '0002_times'),
    ]

    operations = [
        migrations.AddField(
            model_name='hourlyrollup',
            name='verdicts',
            field=models.JSONField(default=dict, help_text='Of failed, expired, cancelled and late: how many of each verdict. Not judged: none.'),
        ),
    ]
