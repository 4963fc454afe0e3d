# SPDX-License-Identifier: Apache-2.0
"""dashboard: the page at / in a real browser, over a real daemon with real data.

A moment that is picked by keyboard, mouse or touch gives a command, and the command the right database; nothing is green
while anything fails or when nobody answers; it works on a phone, without a mouse and in the dark; it asks nobody else.
"""

import gzip
import http.client
import json
import os
import shlex
import sqlite3
import time
import urllib.parse

from config import config, entry, insert, small, write
from http_api import TOKEN, HttpDaemon, at_socket
from lib.browser import Browser, host_of
from lib.case import wait_until
from lib.tap import check, equal
from servers.process import free_ports


def begin(case, *names, keys=None, **top):
    """A daemon with databases that replicate, all by these keys."""
    dbs = [small(case, name) for name in names]
    top.setdefault("http", {"listen": "127.0.0.1:0"})
    daemon = HttpDaemon(case, config(*(entry(db, replica_of(case, db).url, **(keys or {})) for db in dbs), **top)).start(ready=False)
    daemon.wait_synced(*dbs)
    return daemon, dbs


def replica_of(case, db):
    """Each has its own."""
    return case.replica("backup-" + os.path.basename(db))


def page(daemon, db=None):
    """The address of the page."""
    return f"http://127.0.0.1:{daemon.port}/" + (f"#/db?path={urllib.parse.quote(db)}" if db else "#/")


def verdict(browser):
    """(level of the verdict, of the page, its title)."""
    return browser.attribute("#verdict", "data-level"), browser.attribute("body", "data-level"), browser.text("#verdict h1")


def wait_verdict(browser, *levels):
    """Until the page says so."""
    wait_until(lambda: verdict(browser)[:2] == levels, f"verdict {levels}; it is {verdict(browser)}")


def shown_command(browser):
    """The restore command; waits until the replica is listed."""
    wait_until(lambda: "listed" in browser.text("#restore .card-note"), "the replica is listed")
    return browser.text("#restore-command").strip()


def carry_out(case, command):
    """Run what the page printed, in a shell; rows of the restored database."""
    folder = case.path(f"run-{time.monotonic_ns()}")
    os.mkdir(folder)
    case.run("sh", "-c", f"cd {shlex.quote(folder)} && PATH={shlex.quote(os.path.dirname(case.options.weir))}:$PATH && {command}")
    [name] = [name for name in os.listdir(folder) if name.endswith(".db")]
    with sqlite3.connect(f"file:{folder}/{name}?immutable=1", uri=True) as connection:
        return [row[0] for row in connection.execute("SELECT x FROM t ORDER BY rowid")]


def no_complaints(browser, daemon):
    """Nothing was asked of anybody else, and the browser found nothing wrong."""
    hosts = {host_of(url) for url in browser.requested() if not url.startswith(("data:", "chrome:", "about:"))}
    equal(hosts, {f"127.0.0.1:{daemon.port}"}, "hosts that were asked")
    equal([line["message"] for line in browser.log("browser")], [], "messages of the browser")


# --- stories ----------------------------------------------------------------------------------------------------------


def click_through(case):
    """List, detail, charts; a moment typed, clicked, and a commit number: each command restores the right state."""
    daemon, (db, other) = begin(case, "orders.db", "jobs.db", keys={"price": "put=1"})
    times = []
    for value in range(2, 6):
        insert(case, db, value)
        case.weir("sync", db, "--wait")
        times.append(at_socket(db, "/api/v1/status", path=db).json()["databases"][0]["shipped_time"])
        time.sleep(0.3)  # the subject: moments that the chart can tell apart
    with Browser(case) as browser:
        browser.go(page(daemon))
        wait_verdict(browser, "good", "good")
        equal(browser.js("return document.querySelectorAll('#databases tbody tr').length"), 2, "rows")
        browser.type("#filter", "orders")
        equal(browser.js("return [...document.querySelectorAll('#databases tbody a')].map((a) => a.title)"), [db], "filtered")
        browser.type("#filter", "")
        for order in ("ascending", "descending"):
            browser.click("[data-sort=path]")
            equal(browser.attribute("th:nth-child(2)", "aria-sort"), order, "order")
            equal(browser.js("return document.querySelector('#databases tbody a').title"), other if order == "ascending" else db, order)
        browser.click("#databases tbody a")
        wait_verdict(browser, "good", "good")
        for chart in ("lag", "commits", "bytes", "log"):
            wait_until(lambda chart=chart: int(browser.attribute(f"#chart-{chart}", "data-points") or 0) > 0, f"points of {chart}")
            check(browser.js("return document.querySelector(arguments[0]).width > 100", f"#chart-{chart} canvas"), f"{chart} is not drawn")
        shown = browser.js("return [...document.querySelectorAll('dl.facts > div')].map((row) => row.textContent)")
        check(any(row.startswith("Estimated price") and "your prices: put=1" in row for row in shown), shown)
        newest = shown_command(browser)
        check("--timestamp" not in newest and "--txid" not in newest, newest)
        equal(carry_out(case, newest), [1, 2, 3, 4, 5], "the newest")
        browser.type("#restore-time", times[1])
        check(f"--timestamp {times[1].replace('.000Z', 'Z')}" in shown_command(browser), shown_command(browser))
        equal(carry_out(case, shown_command(browser)), [1, 2, 3], "at the time of the third commit")
        browser.type("#restore-txid", "2")
        check(" --txid 2 " in shown_command(browser), shown_command(browser))
        by_number = carry_out(case, shown_command(browser))
        equal(by_number, list(range(1, len(by_number) + 1)), "by number")
        click_moment(case, browser, times)
        refused_input(browser)
        browser.js("document.querySelector('#restore-source').value = 'configuration'; document.querySelector('#restore-source').dispatchEvent(new Event('change'))")
        browser.type("#restore-time", times[0])
        check(f"-c '{case.path('weir.yml')}'" in shown_command(browser), shown_command(browser))
        equal(carry_out(case, shown_command(browser)), [1, 2], "by the configuration")
        no_complaints(browser, daemon)
    daemon.stop()


def click_moment(case, browser, times):
    """The place between two commits on the time line, which stands still when it is zoomed into."""
    browser.type("#restore-time", times[2])
    browser.click("[data-zoom=in]")
    browser.js("document.querySelector('#picker').scrollIntoView({block: 'center'})")
    first, second = (browser.js("return Date.parse(arguments[0])", text) for text in times[2:4])
    box = browser.js("const p = document.querySelector('#picker'); return [p.clientWidth, Number(p.dataset.from), Number(p.dataset.to)]")
    place = 8 + ((first + second) / 2 - box[1]) / (box[2] - box[1]) * (box[0] - 16)
    browser.point("#picker", round(place - box[0] / 2), 0)
    command = shown_command(browser)
    picked = browser.js("return Date.parse(arguments[0])", command.split("--timestamp ")[1].split()[0]) if "--timestamp" in command else None
    check(picked is not None and first <= picked < second, f"{command}: not between {times[2]} and {times[3]}")
    equal(carry_out(case, command), [1, 2, 3, 4], "at the moment that was clicked")


def refused_input(browser):
    """What cannot be restored gives no command, and says why."""
    for field, text, why in (("time", "soon", "no time"), ("time", "2001-01-01", "nothing that early"), ("txid", "0", "whole number"),
                             ("txid", "99999", "The last commit is")):
        browser.type(f"#restore-{field}", text)
        equal(browser.text("#restore-command"), "", f"{field} {text}")
        check(why in browser.text("#restore-explain"), f"{text}: {browser.text('#restore-explain')}")
        check(browser.js("return document.querySelector('#copy-command').disabled"), "there is nothing to copy")


def broken(case):
    """A replica that fails is red at once and everywhere, with its cause; healed, it is green again."""
    daemon, (db, _other) = begin(case, "orders.db", "jobs.db")
    folder = replica_of(case, db).url.removeprefix("file://")
    with Browser(case) as browser:
        browser.go(page(daemon))
        wait_verdict(browser, "good", "good")
        os.rename(folder, folder + ".away")
        insert(case, db, 2)
        wait_verdict(browser, "bad", "bad")
        check("1 of 2 databases is failing" in browser.text("#verdict") and db in browser.text("#verdict"), browser.text("#verdict"))
        equal(browser.attribute("#databases tbody tr:first-child", "data-level"), "bad", "what fails is first")
        browser.click("#databases tbody tr:first-child a")
        # The list has the same verdict, and may be there for another moment.
        wait_until(lambda: folder in browser.text("#verdict .raw"), lambda: f"the cause in full: {browser.text('#verdict')}")
        wait_verdict(browser, "bad", "bad")
        check(browser.text("#verdict .cause"), browser.text("#verdict"))
        check(browser.js("return document.title").startswith("\u2716"), "the title does not tell")
        browser.js("history.back()")
        os.rename(folder + ".away", folder)
        wait_verdict(browser, "good", "good")
    daemon.stop()


def gone(case):
    """A daemon that stops leaves no green light; one that comes back does not need the page to be loaded again."""
    port = free_ports(1)[0]  # one that the kernel gives to nobody meanwhile
    daemon, (db, _other) = begin(case, "orders.db", "jobs.db", http={"listen": f"127.0.0.1:{port}"})
    with Browser(case) as browser:
        for where in (None, db):
            browser.go(page(daemon, where))
            wait_verdict(browser, "good", "good")
            daemon.stop()
            wait_verdict(browser, "unknown", "unknown")
            check("No news since" in browser.text("#verdict") and "no news since" in browser.text("#news"), browser.text("body"))
            check(browser.js("return document.body.classList.contains('stale')"), "the figures look like news")
            check("no news" in browser.js("return document.title"), "the title does not tell")
            text = config(*(entry(one, replica_of(case, one).url) for one in (db, _other)), http={"listen": f"127.0.0.1:{port}"})
            daemon = HttpDaemon(case, text, name=f"again-{where is None}").start(ready=False)
            wait_verdict(browser, "good", "good")
    daemon.stop()


def phone(case):
    """No horizontal scrolling at 360 pixels; a finger picks a moment."""
    daemon, (db, _other) = begin(case, "a-database-with-a-rather-long-name-that-does-not-fit-into-one-line-of-a-phone.sqlite3", "jobs.db")
    insert(case, db, 2)
    case.weir("sync", db, "--wait")
    with Browser(case) as browser:
        browser.resize(360, 740, mobile=True)
        for where in (None, db):
            browser.go(page(daemon, where))
            wait_verdict(browser, "good", "good")
            if where:
                shown_command(browser)
            wide = browser.js("return [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('svg, .u-wrap')).map((e) => e.className)")
            equal((browser.js("return document.documentElement.scrollWidth"), wide), (360, []), f"width of {where or 'the list'}")
        browser.js("document.querySelector('#picker').scrollIntoView({block: 'center'})")
        before = shown_command(browser)
        browser.point("#picker", 140, 0, kind="touch")  # near its end: this history is only some moments old
        wait_until(lambda: shown_command(browser) != before and "--t" in shown_command(browser), "the finger picks a moment")
    daemon.stop()


def keyboard(case):
    """Everything without a mouse: filter, open, pick, copy, back; what has the focus is seen."""
    daemon, (db, _other) = begin(case, "orders.db", "jobs.db")
    insert(case, db, 2)
    case.weir("sync", db, "--wait")
    with Browser(case) as browser:
        browser.go(page(daemon))
        wait_verdict(browser, "good", "good")
        browser.press("/", *"orders")
        tab_to(browser, "document.activeElement.title === arguments[0]", db)
        check(browser.js("return getComputedStyle(document.activeElement).outlineStyle") != "none", "the focus is not seen")
        browser.press("enter")
        wait_until(lambda: browser.js("return location.hash.startsWith('#/db')"), "the database is opened")
        newest = shown_command(browser)
        tab_to(browser, "document.activeElement.id === 'picker'")
        browser.press("left", "left", "shift+left")
        command = shown_command(browser)
        check(command != newest and "--t" in command, command)
        check(browser.attribute("#picker", "aria-valuetext") != "nothing picked", "nobody hears what was picked")
        browser.press("home")
        check("nothing that early" in browser.text("#restore-explain") or "--timestamp" in shown_command(browser), browser.text("#restore-explain"))
        browser.press("end", "left")
        tab_to(browser, "document.activeElement.id === 'copy-command'")
        browser.js(HEARD, "#restore .copied")  # it is said for two seconds only
        browser.press("enter")
        wait_until(lambda: browser.js("return window.heard") != "", "it says that it was copied")
        browser.press("escape")
        wait_until(lambda: browser.js("return location.hash") == "#/", "back at the list")
        unnamed = browser.js("return [...document.querySelectorAll('button, a, input, select')].filter((e) => !(e.innerText || e.ariaLabel || (e.labels && e.labels.length))).map((e) => e.outerHTML)")
        equal(unnamed, [], "controls without a name")
    daemon.stop()


HEARD = """
window.heard = "";
const e = document.querySelector(arguments[0]);
new MutationObserver(() => { window.heard += e.textContent; }).observe(e, { childList: true, characterData: true, subtree: true });
"""


def tab_to(browser, condition, *args):
    """Press Tab until the focus is there."""
    for _ in range(60):
        if browser.js("return " + condition, *args):
            return
        browser.press("tab")
    check(False, f"the keyboard does not reach: {condition}")


CONTRAST = """
const number = (text) => { const c = document.createElement('canvas').getContext('2d'); c.fillStyle = text; c.fillRect(0, 0, 1, 1); return [...c.getImageData(0, 0, 1, 1).data]; };
const light = (rgb) => { const [r, g, b] = rgb.slice(0, 3).map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = (e) => { for (; e; e = e.parentElement) { const c = number(getComputedStyle(e).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255]; };
return [...document.querySelectorAll('body *')].filter((e) => e.checkVisibility() && !e.closest('svg, dialog, .hidden, .skip') && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())
  && !e.disabled && getComputedStyle(e).clipPath === 'none').map((e) => { const [a, b] = [light(number(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x); return [(a + 0.05) / (b + 0.05), e.className, e.innerText.slice(0, 40)]; }).filter((one) => one[0] < 4.5);
"""


def colours(case):
    """Dark when the system is, or when it is chosen; all texts can be read in both, good or bad."""
    daemon, (db, _other) = begin(case, "orders.db", "jobs.db")
    folder = replica_of(case, db).url.removeprefix("file://")
    background = "return getComputedStyle(document.body).backgroundColor"
    with Browser(case) as browser:
        for level in ("good", "bad"):
            if level == "bad":
                os.rename(folder, folder + ".away")
                insert(case, db, 2)
            seen = set()
            for dark in (False, True):
                browser.darken(dark)
                for where in (None, db):
                    browser.go(page(daemon, where))
                    wait_verdict(browser, level, level)
                    equal(browser.js(CONTRAST), [], f"texts that are hard to read: {level}, dark {dark}, {where}")
                seen.add(browser.js(background))
            equal(len(seen), 2, "backgrounds")
        os.rename(folder + ".away", folder)
        browser.darken(False)
        light = browser.js(background)
        browser.js("const s = document.querySelector('#theme'); s.value = 'dark'; s.dispatchEvent(new Event('change'))")
        check(browser.js(background) != light, "the choice changes nothing")
        browser.go(page(daemon))
        check(browser.js(background) != light, "the choice is forgotten")
    daemon.stop()


def token(case):
    """Where a token is asked for, the page asks for it, keeps it in this tab only, and shows nothing without it."""
    file = case.path("token")
    write(file, TOKEN + "\n")
    daemon, (db,) = begin(case, "orders.db", http={"listen": "0.0.0.0:0", "token-file": file})
    with Browser(case) as browser:
        browser.go(page(daemon))
        wait_until(lambda: browser.js("return document.querySelector('dialog').open"), "the page asks for the token")
        check(db not in browser.text("body"), "something is shown without the token")
        browser.type("#token", "wrong")
        browser.press("enter")
        wait_until(lambda: "does not know" in browser.text("#token-problem"), "a wrong token is told")
        browser.type("#token", TOKEN)
        browser.press("enter")
        wait_verdict(browser, "good", "good")
        kept = browser.js("return [JSON.stringify(localStorage), document.cookie, location.href, sessionStorage.length]")
        check(TOKEN not in "".join(map(str, kept)) and kept[3] == 1, f"kept elsewhere: {kept}")
        browser.go(page(daemon, db))
        shown_command(browser)
        check(not any(TOKEN in url for url in browser.requested()), "the token is in an address")
    daemon.stop()


def hostile_names(case):
    """Names and errors are text and never markup; the shell takes them as one word."""
    name = "it's <img src=x onerror=document.title='owned'> $(touch owned) & \"co\".db"
    daemon, (db,) = begin(case, name)
    insert(case, db, 2)
    case.weir("sync", db, "--wait")
    with Browser(case) as browser:
        browser.go(page(daemon))
        wait_until(lambda: db in browser.text("#databases") or name in browser.text("#databases"), "the name in the list")
        equal(browser.js("return document.querySelectorAll('main img, main script').length"), 0, "elements made of a name")
        browser.click("#databases tbody a")
        wait_verdict(browser, "good", "good")
        equal(carry_out(case, shown_command(browser)), [1, 2], "restored by URL")
        browser.js("document.querySelector('#restore-source').value = 'configuration'; document.querySelector('#restore-source').dispatchEvent(new Event('change'))")
        equal(carry_out(case, shown_command(browser)), [1, 2], "restored by the configuration")
        check(not any("owned" in files for _, _, files in os.walk(case.path())), "the shell took the name for a command")
        refused = browser.js("const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s); return window.ran || 0")
        equal(refused, 0, "an inline script ran")
    daemon.stop()


def thousands(case):
    """2,000 databases: pages of the list, filtered and sorted at once; what fails is first."""
    db, tenants = small(case, "zz-works.db"), case.path("tenants")
    os.mkdir(tenants)
    for i in range(2000):
        write(f"{tenants}/tenant-{i:04}.db", "")  # the application has not written it yet
    entries = [entry(db, case.replica("works").url), entry(case.path("missing/x.db"), case.replica("missing").url),
               json.dumps({"dir": tenants, "pattern": "*.db", "replica": case.replica("tenants").url})]
    daemon = HttpDaemon(case, config(*entries, http={"listen": "127.0.0.1:0"})).start(ready=False)
    daemon.wait_synced(db)
    with Browser(case) as browser:
        browser.go(page(daemon))
        wait_until(lambda: "2,002" in browser.text(".segmented"), "all are counted")
        check("missing/x.db" in browser.js("return document.querySelector('#databases tbody a').title"), "what fails is not first")
        check(browser.js("return document.querySelectorAll('#databases tbody tr').length") <= 100, "too many rows at once")
        first = browser.text("#databases tbody")
        browser.click("#page-next")
        check(browser.text("#databases tbody") != first and "51 to 100 of 2,002" in browser.text(".pager"), browser.text(".pager"))
        browser.type("#filter", "zz-works")
        equal(browser.js("return document.querySelectorAll('#databases tbody tr').length"), 1, "rows")
        browser.click("#databases tbody a")
        wait_verdict(browser, "good", "good")
    daemon.stop(expect=3)  # because of the one that is missing


def modules(case):
    """The parts that only compute, asked in the browser: typed times, quoting, what a thinned history can give."""
    daemon, _dbs = begin(case, "a.db")
    with Browser(case) as browser:
        browser.cdp("Emulation.setTimezoneOverride", timezoneId="Europe/Berlin")
        browser.go(page(daemon))
        wait_verdict(browser, "good", "good")
        browser.do("timeouts", {"script": 60000})
        found = browser.do("execute/async", {"script": MODULES, "args": []})
    equal([line for line in found if line[1] != line[2]], [], "[what, found, wanted]")
    check(len(found) > 20, found)
    daemon.stop()


MODULES = r"""
const done = arguments[arguments.length - 1];
(async () => {
  const f = await import("/dashboard/format.js"), l = await import("/dashboard/lineage.js"), r = await import("/dashboard/restore.js"), c = await import("/dashboard/charts.js"), w = await import("/dashboard/words.js");
  const now = Date.parse("2026-11-21T12:00:00Z"), out = [], at = (text) => { const ms = f.typedTime(text, now); return ms === null ? null : new Date(ms).toISOString(); };
  const is = (what, found, wanted) => out.push([what, JSON.stringify(found), JSON.stringify(wanted)]);
  is("time", at("12:30"), "2026-11-21T11:30:00.000Z");
  is("later than now is yesterday", at("14:30"), "2026-11-20T13:30:00.000Z");
  is("yesterday", at("yesterday 12:30:01.5"), "2026-11-20T11:30:01.500Z");
  is("ago", at("90 min ago"), "2026-11-21T10:30:00.000Z");
  is("short", at("2h"), "2026-11-21T10:00:00.000Z");
  is("date", at("2026-07-01"), "2026-06-30T22:00:00.000Z");
  is("local", at("2026-11-21 9:05"), "2026-11-21T08:05:00.000Z");
  is("utc", at("2026-11-21T09:05:06.789Z"), "2026-11-21T09:05:06.789Z");
  is("offset", at("2026-11-21 09:05 +05:30"), "2026-11-21T03:35:00.000Z");
  for (const bad of ["", "soon", "25:00", "12:61", "2026-13-01", "2026-11-21T09:05:06.789Q", "5 fortnights ago"]) is("bad " + bad, at(bad), null);
  is("utc text", f.utc(now), "2026-11-21T12:00:00Z");
  is("quote", [r.quote("/a/b-1.db"), r.quote("it's")], ["/a/b-1.db", "'it'\\''s'"]);
  is("durations", [0, 400, 12000, 200000, 86400000 * 3].map(f.duration), ["0 s", "0.4 s", "12 s", "3 min 20 s", "3 d"]);
  is("sizes", [0, 1023, 1536, 1 << 20].map(f.bytes), ["0 B", "1023 B", "1.5 KiB", "1 MiB"]);
  const iso = (ms) => new Date(ms).toISOString();
  const t = (number, parent, fork, begun, tip, ranges, snapshots, merges) => ({ timeline: number, parent, fork_txid: fork, begun: iso(begun), host: "h", sealed: false, successor: null, segments: { count: 1, bytes: 1 }, folds: { count: 0, bytes: 0 }, pruned: [], damage: null, cut: false,
    tip: { txid: tip[0], time: iso(tip[1]) }, restorable: ranges && ranges.map(([first_txid, last_txid]) => ({ first_txid, last_txid, first_time: null, last_time: null })), snapshots: snapshots.map(([txid, time]) => ({ txid, time: iso(time), bytes: 1 })), merges: merges.map(([base_txid, txid, time]) => ({ base_txid, txid, time: iso(time), bytes: 1, level: 1 })) });
  // Single states at 1, 10 and 20, every commit from 50 on; a fork behind 60, and the parent went on to 100; of the third nothing is told.
  const h = l.readHistory({ time: iso(now), cut: false, gaps: { list: [] }, timelines: [t(1, null, 0, 1000, [100, 100000], [[1, 1], [10, 10], [20, 20], [50, 100]], [[1, 1000], [50, 50000]], [[1, 10, 10000], [1, 20, 20000]]), t(2, 1, 60, 70000, [80, 90000], [[61, 80]], [], []), t(3, 2, 80, 95000, [90, 99000], null, [], [])] });
  is("before", l.stateAt(h, 1, 999).kind, "before");
  is("kept", l.stateAt(h, 1, 19999), { kind: "kept", txid: 10, time: 10000 });
  is("kept, the second", l.stateAt(h, 1, 49999), { kind: "kept", txid: 20, time: 20000 });
  is("exact", l.stateAt(h, 1, 75000), { kind: "exact", about: 75 });
  is("tip", l.stateAt(h, 1, 200000), { kind: "tip", txid: 100, time: 100000 });
  is("on the other timeline", [l.stateAt(h, 2, 59000).about, l.stateAt(h, 2, 65000).kind, l.stateAt(h, 2, 95000).txid], [59, "exact", 80]);
  is("legs", l.legsOf(h, 2).map((leg) => [leg.timeline.number, leg.untilTxid === Infinity ? 0 : leg.untilTxid]), [[1, 60], [2, 0]]);
  is("earliest", l.earliest(h, 2), 1000);
  is("not told", [l.stateAt(h, 3, 96000).kind, l.txidProblem(h, 3, 85)], ["untold", ""]);
  is("shipped since", (l.extendTip(h, { timeline: 1, shipped_txid: 120, shipped_time: iso(120000) }), [l.stateAt(h, 1, 110000), l.stateAt(h, 1, 130000).txid, l.txidProblem(h, 1, 120)]), [{ kind: "exact", about: 110 }, 120, ""]);
  is("nearest", l.txidProblem(h, 1, 15), "This commit is not kept. The nearest that can be restored: 10 and 20.");
  is("txid", [l.txidProblem(h, 1, 70), l.txidProblem(h, 1, 10), l.txidProblem(h, 1, 11) === "", l.txidProblem(h, 2, 81) === "", l.txidProblem(h, 2, 55)], ["", "", false, false, ""]);
  const s = { step_ms: 1000, first_ms: 0, commits: [null, 2, null, 4], lag_ms: [null, 500, null, 0], bytes: [], log_bytes: [] };
  is("rates", c.condense(s, c.KINDS[1], 100)[1], [null, 2, 0, 4]);
  is("condensed", c.condense(s, c.KINDS[1], 2)[1], [1, 2]);
  is("levels stay", c.condense(s, c.KINDS[0], 100)[1], [null, 500, 500, 0]);
  const db = (more) => w.judge({ path: "/a", url: "file:///r", state: "replicating", lag: { seconds: 0, commits: 0 }, error: null, ...more }).level;
  is("judged", [db({}), db({ error: { code: "E_IO", message: "x" } }), db({ state: "fenced" }), db({ state: "new in the next release" }), db({ lag: { seconds: 90, commits: 1 } }), db({ lag: { seconds: 90, commits: 1 }, triggers: { interval: "off", commits: "off" } }), db({ drill: { result: "failed", failure: "x" } }), db({ drill: { result: "good", verified_time: iso(0), error: "no room" } }), db({ retention: { error: "denied" } }), db({ scrub: { damaged: 2, damaged_pages: [7, 9] } }), db({ scrub: { damaged: 0, damaged_pages: [], error: "sick" } })], ["good", "bad", "bad", "warn", "warn", "good", "bad", "warn", "warn", "bad", "warn"]);
  const waits = (interval, seconds) => db({ lag: { seconds, commits: 1 }, triggers: { interval, commits: "off" } });
  is("late", [waits("250ms", 59), waits("250ms", 61), waits("1h", 3600), waits("1h", 3700), waits("2d", 86400), waits("off", 1e9)], ["good", "warn", "good", "warn", "good", "good"]);
  const cost = (more) => w.priceText({ currency: "USD", requests: null, storage: null, total: null, measured_seconds: 60, source: "X", ...more });
  is("price", [w.priceText(null), cost({}), cost({ requests: 1.5 }), cost({ requests: 1.5, storage: 0.001, total: 1.501 }), cost({ currency: null, requests: 0, storage: 2, total: 2 })], [null, "a month: requests not known before an hour has passed, storage not known (X)", "a month: 1.50 USD for requests, storage not known (X)", "about 1.50 USD a month: 1.50 USD for requests, less than 0.01 USD for storage (X)", "about 2.00 a month: 0.00 for requests, 2.00 for storage (X)"]);
  done(out);
})().catch((error) => done([["failed", String(error.stack), ""]]));
"""


def files(case):
    """How the page is sent: compressed or not, not again when it is known, with a policy that forbids everything else."""
    daemon, (db,) = begin(case, "a.db")
    html = {"Accept": "text/html,*/*"}
    check("/api/v1/history" in daemon.get("/").text, "curl is not told the names of the pages")
    plain = daemon.get("/", headers=html)
    policy = plain.headers["Content-Security-Policy"]
    check("default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy, policy)
    equal((plain.headers["Content-Type"], plain.headers["Content-Encoding"]), ("text/html; charset=utf-8", None), "headers")
    for path in ("/", "/dashboard/app.css", "/dashboard/main.js", "/dashboard/uplot.js", "/dashboard/icon.svg"):
        plain, packed = fetch(daemon, path, html), fetch(daemon, path, {**html, "Accept-Encoding": "gzip, br"})
        equal((packed[1]["Content-Encoding"], gzip.decompress(packed[2])), ("gzip", plain[2]), path)
        check(plain[1]["ETag"] != packed[1]["ETag"] and plain[1]["Cache-Control"] == "no-cache", str(plain[1]))
        again = fetch(daemon, path, {**html, "If-None-Match": plain[1]["ETag"]})
        equal((again[0], again[2], again[1]["ETag"]), (304, b"", plain[1]["ETag"]), f"{path} again")
        equal(fetch(daemon, path, {**html, "If-None-Match": '"other"'})[0], 200, f"{path} after a change")
    for path in ("/dashboard/", "/dashboard/../main.js", "/dashboard/nothing.js", "/dashboard"):
        equal(fetch(daemon, path, html)[0], 404, path)
    equal(daemon.get("/", "POST", headers=html).status, 405, "POST /")
    equal(at_socket(db, "/dashboard/main.js").status, 200, "over the control socket")
    daemon.stop()


def fetch(daemon, path, headers):
    """(status, headers, bytes)."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def cases(_options):
    """All stories."""
    return [
        ("files", files), ("modules", modules), ("click-through", click_through), ("broken", broken), ("gone", gone),
        ("phone", phone), ("keyboard", keyboard), ("colours", colours), ("token", token), ("hostile names", hostile_names), ("thousands", thousands),
    ]
