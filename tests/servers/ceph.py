# SPDX-License-Identifier: Apache-2.0
"""A Ceph cluster of the smallest kind with an S3 gateway: one monitor, one storage daemon that keeps everything in memory,
one radosgw.  No manager: storing and reading work without it.

It is a real S3 server of a code base that knows nothing of weir, ready in a second or two, and runs as any user.
Two users are made: the one the tests write as, and another one who may not touch the first one's buckets.
"""

import base64
import os
import struct
import time
import uuid

from servers.process import PATIENCE, Server

DNS_NAME = "s3.localhost"

# Every pool that the gateway makes at its first start is an agreement of the monitors, so with the default intervals most
# of the start would be waiting for a vote of one.  The short ticks make daemons that came too early try again soon.
QUICK = {
    "paxos_propose_interval": 0.02, "paxos_min_wait": 0.01, "mon_tick_interval": 1, "objecter_tick_interval": 0.5,
}
# One copy of everything, on one daemon of one machine, however full its disk is.
SINGLE = {
    "osd_pool_default_size": 1, "osd_pool_default_min_size": 1, "mon_allow_pool_size_one": "true", "osd_crush_chooseleaf_type": 0,
    "osd_pool_default_pg_num": 4, "osd_pool_default_pgp_num": 4, "osd_pool_default_pg_autoscale_mode": "off",
    "mon_max_pg_per_osd": 1000, "mon_data_avail_warn": 1, "mon_data_avail_crit": 1,
}
CAPS = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *"},
    "client.rgw": {"mon": "allow *", "osd": "allow *"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *"},
}


def secret():
    """A cephx key: type, time of making, length, sixteen bytes."""
    return base64.b64encode(struct.pack("<HIIH", 1, int(time.time()), 0, 16) + os.urandom(16)).decode()


def ini(sections):
    """The text of a configuration file."""
    return "".join(f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
                   for name, values in sections.items())


class Ceph(Server):
    """See the module.  `settings` are more rgw_* settings for the gateway."""

    kind = "ceph"
    needs = {"ceph-mon": "ceph-mon", "ceph-osd": "ceph-osd", "radosgw": "radosgw", "radosgw-admin": "radosgw",
             "monmaptool": "ceph-common", "ceph": "ceph-common", "openssl": "openssl"}

    def __init__(self, settings=None):
        super().__init__()
        self.settings = settings or {}
        self.access_key, self.secret_key = "WEIRTESTKEY", "weir/test+secret"
        self.other_access_key, self.other_secret_key = "WEIROTHERKEY", "weir-other-secret"
        self.dns_name = DNS_NAME  # BUCKET.s3.localhost is a bucket's own host

    def _configure(self, port, tls_port, mon_port, cluster):
        self.write("keyring", "".join(
            f"[{name}]\n\tkey = {secret()}\n" + "".join(f'\tcaps {who} = "{what}"\n' for who, what in caps.items())
            for name, caps in CAPS.items()))
        for folder in ("mon", "osd", "rgw"):
            os.mkdir(self.path(folder))
        everybody = {
            "fsid": cluster, "mon_host": f"v2:127.0.0.1:{mon_port}", "ms_bind_msgr1": "false", "public_network": "127.0.0.0/8",
            "keyring": self.path("keyring"), "run_dir": self.dir, "crash_dir": self.dir, "admin_socket": "",
            "log_file": self.path("$name.log"), "mon_cluster_log_file": self.path("cluster.log"),
        }
        gateway = {
            # Without tcp_nodelay each small answer waits for the client's delayed acknowledgement: 40 ms.  No time-out, so that no
            # connection is closed just when a client that does not try again sends a request.
            "rgw_frontends": f"beast endpoint=127.0.0.1:{port} ssl_endpoint=127.0.0.1:{tls_port} "
                             f"ssl_certificate={self.path('tls.pem')} tcp_nodelay=1 request_timeout_ms=0",
            "rgw_data": self.path("rgw"), "rgw_dns_name": DNS_NAME, "rgw_thread_pool_size": 64, "rgw_rados_pool_pg_num_min": 4,
            **self.settings,
        }
        self.write("ceph.conf", ini({
            "global": {**everybody, **QUICK, **SINGLE},
            "mon": {"mon_data": self.path("mon")},
            "osd": {"osd_data": self.path("osd"), "osd_objectstore": "memstore", "memstore_device_bytes": "4G"},
            "client.rgw": gateway,
        }))

    def _certificate(self):
        self.command("openssl", "req", "-x509", "-nodes", "-days", "30", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                     "-subj", "/CN=weir test", "-addext", f"subjectAltName=DNS:localhost,DNS:{DNS_NAME},DNS:*.{DNS_NAME},IP:127.0.0.1",
                     "-keyout", self.path("tls.key"), "-out", self.path("tls.crt"))
        with open(self.path("tls.crt"), encoding="ascii") as crt, open(self.path("tls.key"), encoding="ascii") as key:
            self.write("tls.pem", crt.read() + key.read())

    def admin(self, *argv):
        """Run radosgw-admin: users, quotas."""
        return self.command("radosgw-admin", "-n", "client.rgw", *argv, env=self._env())

    def _env(self):
        return {"CEPH_CONF": self.path("ceph.conf")}

    def _launch(self):
        port, tls_port, mon_port = self.ports(3)
        cluster, osd, env = str(uuid.uuid4()), str(uuid.uuid4()), self._env()
        self._configure(port, tls_port, mon_port, cluster)
        self._certificate()
        self.command("monmaptool", "--create", "--fsid", cluster, "--addv", "a", f"[v2:127.0.0.1:{mon_port}]", self.path("monmap"))
        # Its keyring makes all entities known from the beginning, with what they may do.
        self.command("ceph-mon", "--mkfs", "-i", "a", "--monmap", self.path("monmap"), "--keyring", self.path("keyring"), env=env)
        self.spawn("mon", ["ceph-mon", "-i", "a", "-f"], env)
        self.command("ceph", "--connect-timeout", str(PATIENCE), "osd", "new", osd, env=env)
        self.command("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd, env=env)
        self.spawn("osd", ["ceph-osd", "-i", "0", "-f"], env)
        self.spawn("rgw", ["radosgw", "-n", "client.rgw", "-f"], env)
        self.wait_http(port)
        for user, access, secret_key in (("weir", self.access_key, self.secret_key),
                                         ("other", self.other_access_key, self.other_secret_key)):
            self.admin("user", "create", f"--uid={user}", f"--display-name={user}", f"--access-key={access}",
                       f"--secret-key={secret_key}")
        self.endpoint, self.tls_endpoint = f"http://127.0.0.1:{port}", f"https://127.0.0.1:{tls_port}"
        self.ca_file = self.path("tls.crt")
