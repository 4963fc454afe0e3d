# SPDX-License-Identifier: Apache-2.0
"""An S3 client that is not weir's: botocore, what the AWS tools are made of."""

import sys

try:
    import botocore.session
except ImportError:  # this Python is not Debian's; the package is, and it is plain Python
    sys.path.append("/usr/lib/python3/dist-packages")
    import botocore.session
from botocore.config import Config

from servers.process import PATIENCE

# Newer versions send checksums in trailers by default, which older servers do not know.
PLAIN = {name: "when_required" for name in ("request_checksum_calculation", "response_checksum_validation")
         if name in Config.OPTION_DEFAULTS}


def connect(server, endpoint=None, keys=None, addressing="path", timeout=PATIENCE, attempts=1):
    """A botocore client for a server, or for a proxy in front of it.  It does not try again unless told to."""
    endpoint = endpoint or server.endpoint
    access, secret = keys or (server.access_key, server.secret_key)
    session = botocore.session.Session()
    session.set_config_variable("config_file", "/dev/null")
    settings = Config(s3={"addressing_style": addressing}, connect_timeout=timeout, read_timeout=timeout, proxies={},
                      retries={"total_max_attempts": attempts}, max_pool_connections=16, **PLAIN)
    return session.create_client("s3", endpoint_url=endpoint, region_name=server.region, aws_access_key_id=access,
                                 aws_secret_access_key=secret, config=settings,
                                 verify=server.ca_file if endpoint.startswith("https") else None)


def keys_of(client, bucket, prefix=""):
    """{key: size} of everything there."""
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", ()):
            found[entry["Key"]] = entry["Size"]
    return found
