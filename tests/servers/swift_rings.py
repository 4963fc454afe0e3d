# SPDX-License-Identifier: Apache-2.0
"""Make the three rings of a Swift of one disk: swift_rings.py FOLDER OBJECT-PORT CONTAINER-PORT ACCOUNT-PORT.

Run by Debian's Python, which has Swift's modules; the tool that Swift brings takes a process for every step."""

import os
import sys

from swift.common.ring import RingBuilder

PARTITION_POWER, REPLICAS, MIN_PART_HOURS = 4, 1, 0


def main(folder, ports):
    """One device each."""
    for ring, port in zip(("object", "container", "account"), ports):
        builder = RingBuilder(PARTITION_POWER, REPLICAS, MIN_PART_HOURS)
        builder.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1.0, "device": "disk", "meta": "", "ip": "127.0.0.1",
                         "port": port, "replication_ip": "127.0.0.1", "replication_port": port})
        builder.rebalance()
        builder.get_ring().save(os.path.join(folder, f"{ring}.ring.gz"))


main(sys.argv[1], [int(port) for port in sys.argv[2:5]])
