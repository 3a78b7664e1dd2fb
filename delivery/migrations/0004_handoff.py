
import django.db.models.functions.datetime
from django.db import migrations, models


def created_when_registered(apps, schema_editor):
    """Of addresses that were here before, the last registration is all that is known."""
    apps.get_model("delivery", "Channel").objects.update(created_at=models.F("registered_at"))


class Migration(migrations.Migration):

    dependencies = [
        ('delivery', '0003_commands_reports_and_pauses'),
    ]

    operations = [
        migrations.AddField(
            model_name='channel',
            name='created_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='When this address was registered first.'),
        ),
        migrations.AddField(
            model_name='pushnotificationlog',
            name='accepted_by',
            field=models.CharField(db_default='', help_text='Whom sent_at tells of, once a hedge has moved it on; before, that is `provider`.', max_length=20),
        ),
        migrations.AddField(
            model_name='pushnotificationlog',
            name='handoff_ms',
            field=models.PositiveIntegerField(help_text='How long the provider took to accept it.', null=True),
        ),
        migrations.AlterField(
            model_name='apikey',
            name='scopes',
            field=models.JSONField(default=list, help_text='Some of jobs:write, jobs:read, messages:read, devices:read, devices:write, analytics:read.'),
        ),
        migrations.AlterField(
            model_name='channel',
            name='registered_at',
            field=models.DateTimeField(help_text='When it was registered last.'),
        ),
        migrations.AlterField(
            model_name='pushnotificationlog',
            name='sent_at',
            field=models.DateTimeField(help_text='Start of the attempt that was accepted, of the first of several.', null=True),
        ),
        migrations.RunPython(created_when_registered, migrations.RunPython.noop),
    ]
