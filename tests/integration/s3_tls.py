# SPDX-License-Identifier: Apache-2.0
"""s3_tls: certificates and proxies.

What is not trusted, not for this host, not valid any more or no TLS at all is said in words that tell what to do, by the
command and by the daemon, and nothing hangs.  Proxies are used as told, by option or by environment, and left alone likewise.
"""

import json
import subprocess
import time

from lib.case import tail, wait_until
from lib.daemon import Daemon
from lib.replica import S3Replica
from lib.scene import Scene
from lib.tap import Skip, check, equal
from servers.tunnel import HttpProxy, TlsFront


class Place:
    """A replica at an endpoint of one's choice."""

    def __init__(self, case):
        if case.options.store.kind == "file":
            raise Skip("asks an S3 server: --store s3")
        self.case, self.server = case, case.options.store.server
        if not self.server.tls_endpoint:
            raise Skip("this server has no TLS")
        self.prefix = f"{case.dir.name}/replica"

    def replica(self, endpoint, **options):
        """The replica there, with options in its URL."""
        found = S3Replica(self.server, self.prefix, endpoint=endpoint)
        found.url += "".join(f"&{name.replace('_', '-')}={value}" for name, value in options.items())
        return found

    def works(self, replica, env=None):
        """Replicate and restore there."""
        scene = Scene(self.case, f"app{time.monotonic_ns()}", replica=replica)
        scene.replica.url = replica.url.replace(self.prefix, f"{self.prefix}/{time.monotonic_ns()}")
        scene.url = scene.replica.url
        scene.start(env=env)
        scene.commit(3)
        scene.sync()
        scene.stop()
        target = self.case.path(f"out{time.monotonic_ns()}.db")
        self.case.weir("restore", scene.url, "-o", target, env=env)
        scene.close()
        self.case.run("sqlite3", target, "SELECT count(*) FROM t")

    def fails(self, replica, *words, env=None):
        """A command says these words, and ends."""
        done = self.case.weir("ls", replica.url, expect=None, env=env)
        check(done.returncode in (1, 2) and all(word in done.stderr for word in words),
              f"weir ls {replica.url}: exit {done.returncode}: {done.stderr}")
        return done.stderr

    def daemon_tells(self, replica, *words):
        """The daemon, too: in its log and its status; it does not end, for somebody may mend it."""
        scene = Scene(self.case, replica=replica)
        daemon = Daemon(self.case, scene.db, replica.url).start(ready=False)
        wait_until(lambda: all(word in daemon.log() for word in words), f"{words} in the log: {tail(daemon.log())}")
        shown = self.case.weir("status", scene.db, "--json", expect=1)
        check(words[0] in json.loads(shown.stdout)["databases"][0]["error"]["message"], f"status: {shown.stdout}")
        daemon.stop(expect=None)
        scene.close()


def openssl(case, *argv):
    """Run openssl."""
    subprocess.run(["openssl", *map(str, argv)], cwd=case.dir, check=True, stdin=subprocess.DEVNULL, capture_output=True)


def certificate(case, names, dates=None):
    """(certificate, key, authority) for these names; `dates` as (from, to) in openssl's form."""
    key = ("-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    openssl(case, "req", "-x509", *key, "-days", "3", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt")
    openssl(case, "req", *key, "-subj", "/CN=server", "-keyout", "tls.key", "-out", "tls.csr")
    for name in ("certs", "index.txt"):
        case.dir.joinpath(name).touch() if "." in name else case.dir.joinpath(name).mkdir()
    case.dir.joinpath("ca.cnf").write_text(
        "[ca]\ndefault_ca=c\n[c]\nnew_certs_dir=certs\ndatabase=index.txt\nrand_serial=yes\ndefault_md=sha256\npolicy=p\ndefault_days=3\n"
        f"x509_extensions=e\n[p]\ncommonName=supplied\n[e]\nsubjectAltName={names}\n", encoding="ascii")
    between = ("-startdate", dates[0], "-enddate", dates[1]) if dates else ()
    openssl(case, "ca", "-batch", "-config", "ca.cnf", "-cert", "ca.crt", "-keyfile", "ca.key", "-in", "tls.csr", "-out", "tls.crt", *between)
    return case.path("tls.crt"), case.path("tls.key"), case.path("ca.crt")


def trusted(case):
    """The authority is named: by the option, by AWS_CA_BUNDLE."""
    place = Place(case)
    place.works(place.replica(place.server.tls_endpoint, ca_file=place.server.ca_file))
    place.works(place.replica(place.server.tls_endpoint), env={"AWS_CA_BUNDLE": place.server.ca_file})
    by_name = place.server.tls_endpoint.replace("127.0.0.1", place.server.dns_name)
    place.works(place.replica(by_name, ca_file=place.server.ca_file, addressing="path", http2="false"))
    place.works(place.replica(by_name, ca_file=place.server.ca_file, addressing="virtual"))


def unknown_authority(case):
    """Nobody knows who signed it."""
    place = Place(case)
    words = "that this machine does not trust", "ca-file"
    place.fails(place.replica(place.server.tls_endpoint), *words)
    place.daemon_tells(place.replica(place.server.tls_endpoint), *words)


def bad_ca_file(case):
    """The file with the authority is not there, or none."""
    place = Place(case)
    missing, nonsense = case.path("missing.pem"), case.path("nonsense.pem")
    case.dir.joinpath("nonsense.pem").write_text("nothing\n", encoding="ascii")
    place.fails(place.replica(place.server.tls_endpoint, ca_file=missing), missing)
    place.fails(place.replica(place.server.tls_endpoint, ca_file=nonsense), nonsense)


def other_host(case):
    """A certificate for another name."""
    place = Place(case)
    crt, key, ca_file = certificate(case, "DNS:other.example")
    with TlsFront(place.server.endpoint, crt, key) as front:
        place.fails(place.replica(f"https://127.0.0.1:{front.port}", ca_file=ca_file), "for another host name")
        place.daemon_tells(place.replica(f"https://localhost:{front.port}", ca_file=ca_file), "for another host name")


def good_front(case):
    """The same front with the right name works: it is the name that was wrong above."""
    place = Place(case)
    crt, key, ca_file = certificate(case, f"DNS:{place.server.dns_name}")
    with TlsFront(place.server.endpoint, crt, key) as front:
        place.works(place.replica(f"https://{place.server.dns_name}:{front.port}", ca_file=ca_file, addressing="path"))


def expired(case):
    """A certificate that was good."""
    place = Place(case)
    crt, key, ca_file = certificate(case, "IP:127.0.0.1", ("20240101000000Z", "20240201000000Z"))
    with TlsFront(place.server.endpoint, crt, key) as front:
        replica = place.replica(f"https://127.0.0.1:{front.port}", ca_file=ca_file)
        place.fails(replica, "has expired", "clock of this machine")
        place.daemon_tells(replica, "has expired")


def not_yet(case):
    """A certificate from the future, or a clock in the past."""
    place = Place(case)
    crt, key, ca_file = certificate(case, "IP:127.0.0.1", ("20700101000000Z", "20710101000000Z"))
    with TlsFront(place.server.endpoint, crt, key) as front:
        place.fails(place.replica(f"https://127.0.0.1:{front.port}", ca_file=ca_file), "not valid yet")


def wrong_scheme(case):
    """http to a TLS port, https to a plain one."""
    place = Place(case)
    text = place.fails(place.replica(place.server.tls_endpoint.replace("https:", "http:")), "weir ls: ", "http://127.0.0.1")
    check("HTTP status 400" in text or "curl" in text, f"http to a TLS port: {text}")
    place.fails(place.replica(place.server.endpoint.replace("http:", "https:"), ca_file=place.server.ca_file), "wrong version number")


# --- proxies -----------------------------------------------------------------------------------------------------------

def by_option(case):
    """proxy=, for http and https."""
    place = Place(case)
    with HttpProxy() as proxy:
        place.works(place.replica(place.server.endpoint, proxy=proxy.url))
        check(proxy.asked and all(method != "CONNECT" for method, _ in proxy.asked), f"asked: {proxy.asked[:5]}")
        check(all(target.startswith(place.server.endpoint) for _, target in proxy.asked), f"asked: {proxy.asked[:5]}")
        proxy.asked.clear()
        place.works(place.replica(place.server.tls_endpoint, ca_file=place.server.ca_file, proxy=proxy.url))
        equal({method for method, _ in proxy.asked}, {"CONNECT"}, "asked")


def by_environment(case):
    """http_proxy, https_proxy, all_proxy; and no_proxy."""
    place = Place(case)
    plain, tls = place.replica(place.server.endpoint), place.replica(place.server.tls_endpoint, ca_file=place.server.ca_file)
    with HttpProxy() as proxy, HttpProxy() as other:
        for replica, env, method in ((plain, {"http_proxy": proxy.url, "https_proxy": other.url}, "GET"),
                                     (tls, {"https_proxy": proxy.url, "http_proxy": other.url}, "CONNECT"),
                                     (tls, {"HTTPS_PROXY": proxy.url}, "CONNECT"), (plain, {"all_proxy": proxy.url}, "GET")):
            proxy.asked.clear()
            place.works(replica, env=env)
            check(method in {asked for asked, _ in proxy.asked}, f"{env}: the proxy was asked {proxy.asked[:5]}")
        proxy.asked.clear()
        for name in ("127.0.0.1", "localhost,127.0.0.1", "*"):
            place.works(plain, env={"http_proxy": proxy.url, "no_proxy": name})
        place.works(tls, env={"https_proxy": proxy.url, "NO_PROXY": "127.0.0.1"})
        equal((proxy.asked, other.asked), ([], []), "requests in spite of no_proxy")


def with_password(case):
    """A proxy that wants a user and a password, which no message shows."""
    place = Place(case)
    with HttpProxy("user", "sesame") as proxy:
        good, bad = (proxy.url.replace("//", f"//user:{password}@") for password in ("sesame", "guessed"))
        place.works(place.replica(place.server.endpoint), env={"http_proxy": good})
        place.works(place.replica(place.server.tls_endpoint, ca_file=place.server.ca_file), env={"https_proxy": good})
        text = place.fails(place.replica(place.server.endpoint), "407", env={"http_proxy": bad})
        text += place.fails(place.replica(place.server.tls_endpoint, ca_file=place.server.ca_file), "407", env={"https_proxy": bad})
        text += place.fails(place.replica(place.server.endpoint, proxy=bad), "proxy")
        check("guessed" not in text, f"a password is shown: {text}")


def no_proxy_there(case):
    """The proxy does not answer."""
    place = Place(case)
    with HttpProxy() as proxy:
        url = proxy.url
    for endpoint in (place.server.endpoint, place.server.tls_endpoint):
        place.fails(place.replica(endpoint, proxy=url, ca_file=place.server.ca_file), "onnect")


def cases(_options):
    """All of them."""
    return [
        ("a trusted certificate", trusted), ("an unknown authority", unknown_authority), ("a bad ca-file", bad_ca_file),
        ("a front with a certificate", good_front), ("another host name", other_host), ("expired", expired), ("not valid yet", not_yet),
        ("the wrong scheme", wrong_scheme), ("a proxy by option", by_option), ("a proxy by environment", by_environment),
        ("a proxy with a password", with_password), ("a proxy that is not there", no_proxy_there),
    ]
