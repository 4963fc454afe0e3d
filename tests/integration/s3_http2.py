# SPDX-License-Identifier: Apache-2.0
"""s3_http2: the same over HTTP/2, as a store's front offers it in the TLS handshake.

A front that ends connections in good order after some requests (GOAWAY), one that is killed while writers write, and a
large upload: nothing is lost, and the access log proves that it was HTTP/2.
"""

import collections

from lib.daemon import log_of, restore_state
from lib.history import Recorder
from lib.scene import Scene
from lib.tap import check, equal
from s3_tls import Place, certificate
from servers.http2_front import Http2Front


def front_of(case, place, *options):
    """(front, options of its replica)."""
    crt, key, ca_file = certificate(case, "IP:127.0.0.1")
    return Http2Front(case.dir, place.server.endpoint, crt, key, *options), {"ca_file": ca_file}


def at(place, front, **options):
    """The replica behind the front."""
    return place.replica(f"https://127.0.0.1:{front.port}", **options)


def spoken(case):
    """Offered, it is taken, for every request; with http2=false it is not."""
    place = Place(case)
    front, options = front_of(case, place)
    with front:
        place.works(at(place, front, **options))
        asked = collections.Counter(protocol for protocol, _, _ in front.spoken())
        check(asked["h2"] > 5 and set(asked) == {"h2"}, f"protocols: {asked}")
        place.works(at(place, front, http2="false", **options))
        after = collections.Counter(protocol for protocol, _, _ in front.spoken())
        equal(after["h2"], asked["h2"], "requests over HTTP/2 after http2=false")
        check(after["http/1.1"] > 5, f"protocols: {after}")


def going_away(case):
    """The front says GOAWAY after every three requests: each commit is there once."""
    place = Place(case)
    front, options = front_of(case, place, "--frontend-max-requests=3")
    with front:
        scene = Scene(case, replica=at(place, front, **options))
        scene.start()
        for _ in range(12):
            scene.commit(1)
            scene.sync()
        scene.stop()
        present = Recorder(scene.db, keep_open=False).take()
        equal(restore_state(case, scene.url).masked, present.masked, "the newest state and the file")
        check(all("resync" not in commit.raw["flags"] for commit in log_of(case, scene.url)), "the history has a gap")
        equal({protocol for protocol, _, _ in front.spoken()}, {"h2"}, "protocols")
        scene.close()


def cut(case):
    """The front is killed between and below requests of a large upload: replication goes on by itself."""
    place = Place(case)
    front, options = front_of(case, place)
    with front:
        scene = Scene(case, replica=at(place, front, **options))
        scene.start()
        for _ in range(3):
            case.run("sqlite3", "-cmd", ".timeout 60000", scene.db,
                     "CREATE TABLE IF NOT EXISTS large(v); INSERT INTO large SELECT randomblob(4000) "
                     "FROM (WITH RECURSIVE c(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c WHERE i < 3000) SELECT i FROM c)")
            front.restart()
            scene.commit(2)
            scene.sync()
        scene.stop()
        present = Recorder(scene.db, keep_open=False).take()
        equal(restore_state(case, scene.url).masked, present.masked, "the newest state and the file")
        case.weir("verify", scene.url)
        scene.close()


def cases(_options):
    """All of them."""
    return [("it is spoken where it is offered", spoken), ("connections that end in good order", going_away), ("a front that is killed", cut)]
