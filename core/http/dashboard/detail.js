// SPDX-License-Identifier: Apache-2.0
// One database: its verdict, its figures, charts, and the way back.

import { chartGroup } from "./charts.js";
import { h, replace, setAttribute, setText, tile } from "./dom.js";
import { eventList } from "./events.js";
import { ago, baseName, bytes, count, duration, folder, moment, parse, plural } from "./format.js";
import { restorePanel } from "./restore.js";
import { isLate, judge, lagOf, perMonth, priceText, proof, requestClasses } from "./words.js";

function factList(title) {
  const list = h("dl", { class: "facts" });
  return {
    element: h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", null, title)), list),
    set(rows) {
      while (list.children.length > rows.length) list.lastElementChild.remove();
      while (list.children.length < rows.length) list.append(h("div", null, h("dt"), h("dd")));
      rows.forEach(([name, text], i) => {
        setText(list.children[i].firstElementChild, name);
        setText(list.children[i].lastElementChild, text);
      });
    },
  };
}

function aboutRows(db, now) {
  const when = (text) => (parse(text) === null ? "\u2013" : `${moment(parse(text), now)} (${ago(parse(text), now)})`);
  const rows = [
    ["Database", db.path], ["Replica", db.url], ["Timeline", count(db.timeline)],
    ["Last commit", db.txid ? `${count(db.txid)}, ${when(db.time)}` : "\u2013"],
    ["Last one shipped", db.shipped_txid ? `${count(db.shipped_txid)}, ${when(db.shipped_time)}` : "\u2013"],
    ["Last snapshot", db.snapshot_txid ? `txid ${count(db.snapshot_txid)}, ${when(db.snapshot_time)}` : "\u2013"],
    ["Last merge", db.merge_txid ? `txid ${count(db.merge_txid)}, ${when(db.merge_time)}` : "none since the start"],
  ];
  if (db.fencing) rows.push(["Second writers", { kept: "kept out by the replica (tried)", unknown: db.url.startsWith("file:") ? "kept out by the replica" : "not tried yet" }[db.fencing] || `looked for every 30 s (${db.fencing})`]);
  if (db.retention) rows.push(["Retention", db.retention.policy], ["Last pruned", db.retention.pruned_time ? `${when(db.retention.pruned_time)}, ${plural(db.retention.deleted, "object")} deleted since the start` : "not yet since the start"]);
  else if (db.retention === null) rows.push(["Retention", "everything is kept"]);
  if (db.log) rows.push(["Log in use", `${bytes(db.log.bytes)}; let go at ${bytes(db.log.limit_bytes)} when the replica does not answer`], ["Log started over", plural(db.log.resets, "time")]);
  if (db.spool && db.spool.limit_bytes) rows.push(["Spool", `${bytes(db.spool.bytes)} of ${bytes(db.spool.limit_bytes)}`]);
  if (db.price) rows.push(["Estimated price", priceText(db.price)]);
  if (db.resyncs) rows.push(["Comparisons that found a difference", count(db.resyncs)]);
  return rows;
}

function requestRows(db) {
  const rows = [];
  for (const [kind, outcomes] of Object.entries(db.requests || {})) {
    const parts = Object.entries(outcomes).filter(([, n]) => n > 0).map(([outcome, n]) => `${count(n)} ${outcome}`);
    if (parts.length) rows.push([kind.replaceAll("_", " ").toUpperCase(), parts.join(", ")]);
  }
  return rows.length ? rows : [["Requests", "none yet"]];
}

function gapOf(db) {
  if (!db.gap) return null;
  const from = parse(db.gap.after_time), to = parse(db.gap.time);
  return to === null ? null : { timeline: db.timeline, from: from ?? to, to };
}

export function detail(path, hooks) {
  const title = h("h1", null, baseName(path)), text = h("p", null), cause = h("p", { class: "cause", hidden: true }), raw = h("p", { class: "raw", hidden: true });
  const notes = h("ul", { class: "notes", hidden: true });
  const verdict = h("section", { class: "verdict", id: "verdict", "data-level": "unknown", role: "status" }, h("i", { class: "light", "aria-hidden": "true" }), h("div", null, title, text, cause, raw, notes));
  const tiles = { lag: tile("Behind"), back: tile("How far back"), proven: tile("Restore proven"), fail: tile("Last failure"), cost: tile("Cost so far") };
  const charts = chartGroup((span) => hooks.span(span));
  const restore = restorePanel(() => { restore.busy(); hooks.history(true); });
  const about = factList("This database"), requests = factList("Requests to the replica"), events = eventList("What happened here");
  const element = h("div", { class: "view" },
    h("nav", { class: "crumbs", "aria-label": "Where you are" }, h("a", { href: "#/" }, "All databases"), h("span", null, folder(path)), h("strong", null, baseName(path))),
    verdict, h("div", { class: "tiles" }, Object.values(tiles).map((one) => one.element)),
    restore.element, charts.element, h("div", { class: "halves" }, about.element, h("div", null, events.element, requests.element)));
  let shownNotes = "";

  function drawVerdict(db, now) {
    const judged = judge(db);
    setText(title, `${judged.name === "Replicating" ? "The backup is alive" : judged.name}`);
    setText(text, judged.text);
    setText(cause, judged.cause || "");
    cause.hidden = !judged.cause;
    const since = judged.error && parse(judged.error.since);
    setText(raw, judged.error ? `${judged.error.message}${since ? ` (since ${moment(since, now)}, ${plural(judged.error.failures, "failure")})` : ""}` : "");
    raw.hidden = !judged.error;
    const key = JSON.stringify(judged.notes);
    if (key !== shownNotes) replace(notes, judged.notes.map((note) => h("li", { "data-level": note.level }, note.text)));
    shownNotes = key;
    notes.hidden = judged.notes.length === 0;
    setAttribute(verdict, "data-level", judged.level);
    return { level: judged.level, title: `${baseName(path)}: ${judged.name}` };
  }

  function drawTiles(db, now, data) {
    const lag = lagOf(db), from = restore.earliest(), proven = proof(db);
    if (lag === null) tiles.lag.set("not known", db.shipped_time ? `the log is not followed; the replica has what was committed until ${moment(parse(db.shipped_time), now)}` : "nothing has been shipped yet", "bad");
    else tiles.lag.set(duration(lag), db.lag && db.lag.commits ? `${plural(db.lag.commits, "commit")} not in the replica` : "everything committed is shipped", isLate(db) ? "warn" : "none");
    tiles.back.set(from === null ? "\u2026" : duration(now - from), from === null ? "listing the replica" : `to ${moment(from, now)}`);
    if (data.historyProblem && from === null) tiles.back.set("not known", "the replica could not be listed", "warn");
    if (!proven) tiles.proven.set("not known", "prove it: weir verify URL --deep");
    else if (proven.failed) tiles.proven.set("failed", proven.error || "", "bad");
    else tiles.proven.set(proven.time === null ? "not yet" : ago(proven.time, now), proven.txid ? `txid ${count(proven.txid)}` : "", proven.time === null ? "none" : "good");
    const failure = events.lastFailure();
    tiles.fail.set(failure ? failure.when : "none", failure ? failure.text : "since the daemon began", db.error ? "bad" : "none");
    const classes = requestClasses([db]), stored = restore.bytes(), month = perMonth(classes.writes, parse(data.status.started), now);
    tiles.cost.set(stored === null ? bytes(db.bytes_shipped) : `${bytes(stored)}`, `${stored === null ? "shipped" : "stored"}; ${plural(classes.writes, "write")}${month === null ? "" : ` (about ${count(month)} a month)`}, ${plural(classes.reads, "read")}, ${plural(classes.deletes, "delete")}${classes.failed ? `, ${count(classes.failed)} failed` : ""}`);
  }

  return {
    element,
    needs: { path },
    update(data, now) {
      const db = data.status.databases.find((one) => one.path === path);
      if (!db) {
        setAttribute(verdict, "data-level", "bad");
        setText(title, "Not a database of this daemon");
        setText(text, `${path} is not in its configuration, or not any more.`);
        return { level: "bad", title: "unknown database" };
      }
      if (data.events) events.update(data.events, path, now);
      const whole = drawVerdict(db, now);
      restore.follow(db, data.status.configuration ? data.status.configuration.file : null, now, gapOf(db));
      drawTiles(db, now, data);
      about.set(aboutRows(db, now));
      requests.set(requestRows(db));
      return whole;
    },
    setSamples: (samples) => charts.update(samples),
    setHistory: (document, now) => restore.setHistory(document, now),
    setHistoryProblem: (message) => restore.setProblem(message),
    redraw: () => charts.redraw(),
    stale(since) {
      setAttribute(verdict, "data-level", "unknown");
      setText(title, `No news since ${moment(since)}`);
      setText(text, "The daemon does not answer. What is below is what it said last, and may not be true any more. The restore command works without it.");
    },
    destroy() {
      charts.destroy();
      restore.destroy();
    },
  };
}
