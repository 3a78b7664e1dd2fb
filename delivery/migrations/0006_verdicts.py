from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('delivery', '0005_last_run'),
    ]

    operations = [
        migrations.CreateModel(
            name='GateSpan',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('provider', models.CharField(max_length=20)),
                ('credential', models.CharField(max_length=50)),
                ('trouble', models.CharField(choices=[('failing', 'the provider fails'), ('misconfigured', 'our credential is refused'), ('throttled', 'the provider asks for less')], max_length=20)),
                ('why', models.CharField(blank=True, max_length=200)),
                ('began_at', models.DateTimeField()),
                ('last_at', models.DateTimeField(help_text='When it was last seen to go on.')),
                ('closed_at', models.DateTimeField(null=True)),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.AddField(
            model_name='pushnotificationlog',
            name='evidence',
            field=models.CharField(db_default='', help_text='What the verdict rests on, in a sentence.', max_length=300),
        ),
        migrations.AddField(
            model_name='pushnotificationlog',
            name='judge_at',
            field=models.DateTimeField(help_text='When more may be known, and it is judged again.', null=True),
        ),
        migrations.AlterField(
            model_name='pushnotificationlog',
            name='verdict',
            field=models.CharField(choices=[('never_handed_over', 'never handed over'), ('provider_down', 'provider refused or down'), ('throttled', 'throttled'), ('our_credential', 'our credential'), ('address_gone', 'address gone'), ('payload_refused', 'payload refused'), ('device_offline', 'device offline'), ('uplink_down', 'site uplink down'), ('blocked_at_site', 'blocked at the site'), ('denied_on_device', 'denied or broken on the device'), ('too_late', 'too late'), ('cancelled', 'cancelled'), ('unknown', 'unknown')], db_default='', help_text='Why it was not delivered in time; empty: not judged.', max_length=30),
        ),
        migrations.AddIndex(
            model_name='pushnotificationlog',
            index=models.Index(condition=models.Q(('verdict', ''), models.Q(('status__in', ['failed', 'expired', 'cancelled']), models.Q(('expired_at__isnull', False), ('status', 'delivered')), _connector='OR')), fields=['id'], name='push_log_unjudged_idx'),
        ),
        migrations.AddIndex(
            model_name='pushnotificationlog',
            index=models.Index(condition=models.Q(('judge_at__isnull', False)), fields=['judge_at'], name='push_log_judge_again_idx'),
        ),
        migrations.AddIndex(
            model_name='pushnotificationlog',
            index=models.Index(condition=models.Q(('verdict', ''), _negated=True), fields=['verdict', 'id'], name='push_log_verdict_idx'),
        ),
        migrations.AddIndex(
            model_name='gatespan',
            index=models.Index(fields=['provider', '-began_at'], name='gate_span_provider_idx'),
        ),
        migrations.AddConstraint(
            model_name='gatespan',
            constraint=models.UniqueConstraint(condition=models.Q(('closed_at', None)), fields=('provider', 'credential', 'trouble'), name='gate_span_open_once'),
        ),
    ]
