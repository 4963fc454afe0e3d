# SPDX-License-Identifier: Apache-2.0
"""The second deployment: on SQLite Django makes the table anew, copies every row and drops the old one."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Larger amounts, and an index."""

    dependencies = [("orders", "0001_initial")]
    operations = [
        migrations.AlterField("Order", "amount", models.BigIntegerField()),
        migrations.RunSQL("CREATE INDEX orders_by_item ON orders_order(item)", "DROP INDEX orders_by_item"),
    ]
