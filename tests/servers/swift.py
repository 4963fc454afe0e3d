# SPDX-License-Identifier: Apache-2.0
"""OpenStack Swift with its S3 middleware: an S3 server that checks the region, wants Content-MD5 for batch deletions,
and knows no conditional writes, which it says (501).  One disk, one of each of its four servers, and memcached.

Uses /etc/swift/swift.conf as Debian ships it: that path is fixed in Swift.
"""

import getpass
import os
import pathlib

from servers.ceph import ini
from servers.process import PATIENCE, Server

# From the outside in.  The second proxy-logging tells the requests that the middle ones make themselves.
PIPELINE = ("catch_errors", "gatekeeper", "healthcheck", "proxy-logging", "cache", "listing_formats", "bulk", "s3api", "tempauth",
            "copy", "slo", "dlo", "versioned_writes", "symlink", "proxy-logging", "proxy-server")
HERE = pathlib.Path(__file__).resolve().parent


class Swift(Server):
    """See the module."""

    kind = "swift"
    conditional = False
    needs = {"swift-proxy-server": "swift-proxy", "swift-object-server": "swift-object", "swift-account-server": "swift-account",
             "swift-container-server": "swift-container", "memcached": "memcached"}

    def __init__(self):
        super().__init__()
        # The access key is "account:user", so whoever splits credentials at a colon does it wrong.
        self.access_key, self.secret_key = "test:tester", "testing"
        self.dns_name = "s3.localhost"

    def _common(self, port):
        return {"bind_ip": "127.0.0.1", "bind_port": port, "workers": 0, "user": getpass.getuser(), "swift_dir": self.path("etc"),
                "log_level": "WARNING"}

    def _storage_server(self, kind, port):
        disk = {"devices": self.path("srv"), "mount_check": "false", "disable_fallocate": "true", "fallocate_reserve": 0,
                "recon_cache_path": self.path("cache")}
        app = {"use": f"egg:swift#{kind}", "node_timeout": PATIENCE}
        if kind == "object":
            app["container_update_timeout"] = PATIENCE  # what is stored is in the next listing, however long that takes
        if kind == "container":
            app["allow_versions"] = "true"
        return ini({"DEFAULT": {**self._common(port), **disk}, "pipeline:main": {"pipeline": f"{kind}-server"}, f"app:{kind}-server": app})

    def _proxy_server(self, port, cache_port):
        options = {
            "s3api": {"location": self.region, "storage_domain": self.dns_name, "s3_acl": "false", "check_bucket_owner": "false",
                      "dns_compliant_bucket_names": "false"},
            "tempauth": {"user_" + self.access_key.replace(":", "_"): f"{self.secret_key} .admin"},
            "cache": {"use": "egg:swift#memcache", "memcache_servers": f"127.0.0.1:{cache_port}"},
            "versioned_writes": {"allow_versioned_writes": "true", "allow_object_versioning": "true"},
        }
        filters = {f"filter:{name}": {"use": f"egg:swift#{name.replace('-', '_')}", **options.get(name, {})} for name in PIPELINE[:-1]}
        return ini({"DEFAULT": self._common(port), "pipeline:main": {"pipeline": " ".join(PIPELINE)}, **filters,
                    "app:proxy-server": {"use": "egg:swift#proxy", "allow_account_management": "true", "account_autocreate": "true",
                                        "node_timeout": PATIENCE}})

    def _launch(self):
        port, cache_port, *storage = self.ports(5)
        for folder in ("etc", "srv", "srv/disk", "cache"):
            os.mkdir(self.path(folder))
        # -P: our module of the name "swift" beside the program must not hide theirs.
        self.command("/usr/bin/python3", "-P", str(HERE / "swift_rings.py"), self.path("etc"), *map(str, storage))
        for kind, own in zip(("object", "container", "account"), storage):
            self.write(f"etc/{kind}.conf", self._storage_server(kind, own))
        self.write("etc/proxy.conf", self._proxy_server(port, cache_port))
        self.spawn("memcached", ["memcached", "-u", getpass.getuser(), "-l", "127.0.0.1", "-p", str(cache_port), "-m", "16"])
        for kind in ("object", "container", "account", "proxy"):
            self.spawn(kind, [f"swift-{kind}-server", self.path("etc", f"{kind}.conf")])
        for own in storage:
            self.wait_http(own)
        self.wait_http(port, "/healthcheck")
        self.endpoint = f"http://127.0.0.1:{port}"
