
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('analytics', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='hourlyrollup',
            name='clicked',
            field=models.PositiveIntegerField(default=0, help_text='Of delivered and late: clicked by a person.'),
        ),
        migrations.AddField(
            model_name='hourlyrollup',
            name='handoff',
            field=models.JSONField(default=dict, help_text='Histogram: how long accepted attempts took.'),
        ),
        migrations.AddField(
            model_name='hourlyrollup',
            name='opened',
            field=models.PositiveIntegerField(default=0, help_text='Of delivered and late: opened by a person.'),
        ),
        migrations.AddField(
            model_name='hourlyrollup',
            name='skewed',
            field=models.PositiveIntegerField(default=0, help_text='Of delivered and late: with a clock that made no sense.'),
        ),
        migrations.AddField(
            model_name='hourlyrollup',
            name='times',
            field=models.JSONField(default=dict, help_text='Histograms by part: queue, handoff, transit, ack_return; end_to_end; to_open.'),
        ),
        migrations.AlterField(
            model_name='hourlyrollup',
            name='latency',
            field=models.JSONField(default=dict, help_text='From sent to received, of deliveries in time: a histogram of analytics/latency.py.'),
        ),
        migrations.AlterField(
            model_name='hourlyrollup',
            name='latency_count',
            field=models.PositiveIntegerField(default=0),
        ),
    ]
