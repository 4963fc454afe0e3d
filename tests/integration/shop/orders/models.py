# SPDX-License-Identifier: Apache-2.0
"""What the shop keeps."""

from django.db import models


class Order(models.Model):
    """One order: what, and for how much."""

    item = models.CharField(max_length=200)
    amount = models.BigIntegerField()
