# SPDX-License-Identifier: Apache-2.0
"""An ordinary Django site on SQLite: what somebody has before weir comes.  Nothing in it knows of weir."""

import os

SECRET_KEY = "for tests only"
ALLOWED_HOSTS = ["127.0.0.1"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SHOP_DB"], "OPTIONS": {"timeout": 300}}}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "orders"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "orders.views"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = True
