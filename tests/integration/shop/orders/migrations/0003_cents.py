# SPDX-License-Identifier: Apache-2.0
"""The third deployment, and the mistake: amounts should have become cents."""

from django.db import migrations


class Migration(migrations.Migration):
    """Every amount times nothing instead of times a hundred."""

    dependencies = [("orders", "0002_large_amounts")]
    operations = [migrations.RunSQL("UPDATE orders_order SET amount = amount * 0", migrations.RunSQL.noop)]
