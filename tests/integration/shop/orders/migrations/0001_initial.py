# SPDX-License-Identifier: Apache-2.0
"""The first deployment."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Orders."""

    initial = True
    operations = [migrations.CreateModel("Order", [
        ("id", models.AutoField(primary_key=True, auto_created=True, serialize=False, verbose_name="ID")),
        ("item", models.CharField(max_length=200)),
        ("amount", models.IntegerField()),
    ])]
