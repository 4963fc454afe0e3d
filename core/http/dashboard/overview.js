// SPDX-License-Identifier: Apache-2.0
// All databases: the verdict first, then figures, then a list that stays usable with thousands.

import { h, setAttribute, setText, tile } from "./dom.js";
import { eventList } from "./events.js";
import { ago, baseName, bytes, count, duration, folder, moment, parse, plural } from "./format.js";
import { isLate, judge, judgeAll, lagOf, LEVELS, perMonth, proof, requestClasses } from "./words.js";

const PAGE = 50;

const COLUMNS = [
  { id: "state", name: "State", value: (row) => -LEVELS.indexOf(row.verdict.level), text: (row) => row.verdict.name },
  { id: "path", name: "Database", value: (row) => row.db.path },
  { id: "lag", name: "Behind", value: (row) => -(row.lag ?? Infinity), text: (row) => (row.lag === null ? "not known" : duration(row.lag)), numeric: true },
  { id: "shipped", name: "Last shipped", value: (row) => -(row.shipped ?? 0), text: (row, now) => (row.shipped === null ? "never" : ago(row.shipped, now)), numeric: true },
  { id: "log", name: "Log", value: (row) => -(row.log ?? -1), text: (row) => (row.log === null ? "\u2013" : bytes(row.log)), numeric: true },
  { id: "bytes", name: "Shipped", value: (row) => -row.db.bytes_shipped, text: (row) => bytes(row.db.bytes_shipped || 0), numeric: true },
  { id: "snapshot", name: "Snapshot", value: (row) => -(row.snapshot ?? 0), text: (row, now) => (row.snapshot === null ? "\u2013" : ago(row.snapshot, now)), numeric: true },
];

const FILTERS = [["all", "All"], ["bad", "Failing"], ["warn", "Attention"], ["good", "Fine"]];

function rowOf(db) {
  return { db, verdict: judge(db), lag: lagOf(db), log: db.log ? db.log.bytes : null, shipped: parse(db.shipped_time), snapshot: parse(db.snapshot_time) };
}

function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** One line of the list; its elements stay while its texts change. */
function line() {
  const dot = h("i", { class: "dot", "aria-hidden": "true" }), state = h("span", null), link = h("a", null);
  const where = h("span", { class: "where" }), reason = h("span", { class: "reason" });
  const figures = COLUMNS.slice(2).map((column) => h("td", { class: "numeric", "data-name": column.name }));
  const element = h("tr", null, h("td", { class: "state" }, dot, state), h("td", { class: "path" }, link, where, reason), figures);
  return {
    element,
    set(row, now) {
      setAttribute(element, "data-level", row.verdict.level);
      setText(state, row.verdict.name);
      setText(link, baseName(row.db.path));
      setAttribute(link, "href", `#/db?path=${encodeURIComponent(row.db.path)}`);
      setAttribute(link, "title", row.db.path);
      setText(where, folder(row.db.path));
      setText(reason, row.verdict.error ? row.verdict.error.message : "");
      COLUMNS.slice(2).forEach((column, i) => setText(figures[i], column.text(row, now)));
    },
  };
}

export function overview() {
  const title = h("h1", null, "Asking the daemon"), text = h("p", null);
  const verdict = h("section", { class: "verdict", id: "verdict", "data-level": "unknown", role: "status" }, h("i", { class: "light", "aria-hidden": "true" }), h("div", null, title, text));
  const tiles = { alive: tile("Alive"), lag: tile("Furthest behind"), back: tile("Last snapshot, at worst"), proven: tile("Restore proven"), cost: tile("Cost so far") };
  const filter = h("input", { id: "filter", type: "search", placeholder: "Filter by path, state or error", "aria-label": "Filter databases", oninput: () => { page = 0; draw(); } });
  const chips = FILTERS.map(([level, name]) => h("button", { type: "button", "data-level": level, "aria-pressed": level === "all", onclick: () => { chosen = level; page = 0; draw(); } }, name));
  const heads = COLUMNS.map((column) => h("th", { scope: "col", class: column.numeric ? "numeric" : null }, h("button", { type: "button", "data-sort": column.id, onclick: () => sortBy(column) }, column.name)));
  const body = h("tbody"), empty = h("p", { class: "empty", hidden: true });
  const back = h("button", { type: "button", id: "page-back", onclick: () => { page--; draw(); } }, "Back"), next = h("button", { type: "button", id: "page-next", onclick: () => { page++; draw(); } }, "Next");
  const place = h("span", { role: "status" }), pager = h("nav", { class: "pager", "aria-label": "Pages of the list", hidden: true }, back, place, next);
  const events = eventList("What happened last");
  const element = h("div", { class: "view" }, verdict,
    h("div", { class: "tiles" }, Object.values(tiles).map((one) => one.element)),
    h("section", { class: "card" },
      h("div", { class: "card-head" }, h("h2", null, "Databases"), h("div", { class: "segmented", role: "group", "aria-label": "Show" }, chips), filter),
      h("div", { class: "scroll" }, h("table", { class: "list", id: "databases" }, h("thead", null, h("tr", null, heads)), body)), empty, pager),
    events.element);
  const lines = [];
  let rows = [], now = 0, page = 0, chosen = "all", order = COLUMNS[0], descending = false;

  function sortBy(column) {
    descending = order === column ? !descending : false;
    order = column;
    page = 0;
    draw();
  }

  function draw() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = rows.filter((row) => (chosen === "all" || row.verdict.level === chosen || (chosen === "warn" && row.verdict.level === "unknown"))
      && words.every((word) => row.search.includes(word)));
    matches.sort((a, b) => (descending ? -1 : 1) * compare(order.value(a), order.value(b)) || compare(a.db.path, b.db.path));
    const pages = Math.max(1, Math.ceil(matches.length / PAGE));
    page = Math.max(0, Math.min(page, pages - 1));
    const shown = matches.slice(page * PAGE, (page + 1) * PAGE);
    while (lines.length < shown.length) lines.push(line());
    shown.forEach((row, i) => lines[i].set(row, now));
    while (body.children.length > shown.length) body.lastElementChild.remove();
    for (let i = body.children.length; i < shown.length; i++) body.append(lines[i].element);
    heads.forEach((head, i) => setAttribute(head, "aria-sort", COLUMNS[i] === order ? (descending ? "descending" : "ascending") : null));
    empty.hidden = matches.length > 0;
    setText(empty, rows.length === 0 ? "This daemon has no databases." : "No database matches.");
    pager.hidden = pages < 2;
    setText(place, `${count(page * PAGE + 1)} to ${count(page * PAGE + shown.length)} of ${count(matches.length)}`);
    back.disabled = page === 0;
    next.disabled = page === pages - 1;
    for (const chip of chips) setAttribute(chip, "aria-pressed", chip.dataset.level === chosen);
  }

  function drawTiles(databases, counts, started) {
    const furthest = rows.reduce((worst, row) => ((row.lag ?? 0) > worst.lag ? row : worst), { lag: 0 }), unknown = rows.filter((row) => row.lag === null).length;
    const without = rows.filter((row) => row.snapshot === null).length;
    const oldest = rows.filter((row) => row.snapshot !== null).sort((a, b) => a.snapshot - b.snapshot)[0];
    tiles.alive.set(`${count(counts.good)} of ${count(databases.length)}`, counts.good === databases.length ? "every one is replicated" : `${count(counts.bad)} failing, ${count(counts.warn)} with attention`, counts.bad ? "bad" : counts.warn || !databases.length ? "warn" : "good");
    if (unknown === rows.length) tiles.lag.set("not known", "no log is being followed", rows.length ? "bad" : "none");
    else tiles.lag.set(duration(furthest.lag), unknown ? `${count(unknown)} not known, because ${unknown === 1 ? "its log is" : "their logs are"} not followed` : furthest.lag > 0 ? baseName(furthest.db.path) : "everything committed is shipped", unknown ? "bad" : rows.some((row) => isLate(row.db)) ? "warn" : "none");
    tiles.back.set(oldest ? ago(oldest.snapshot, now) : "none yet", oldest ? `${baseName(oldest.db.path)}${without ? `, ${count(without)} without` : ""}` : "a start takes the first one");
    drawProof(databases);
    const classes = requestClasses(databases), shipped = rows.reduce((sum, row) => sum + (row.db.bytes_shipped || 0), 0);
    const all = classes.writes + classes.reads + classes.deletes, month = perMonth(all, started, now);
    tiles.cost.set(plural(all, "request"), `${month === null ? "" : `about ${count(month)} a month; `}${bytes(shipped)} shipped since the start`);
  }

  function drawProof(databases) {
    const proofs = databases.map(proof), failed = proofs.filter((one) => one && one.failed).length, known = proofs.filter((one) => one && one.time !== null);
    if (failed) tiles.proven.set(`${count(failed)} failed`, "trial restores; see the list", "bad");
    else if (known.length === 0) tiles.proven.set("not known", "prove one: weir verify URL --deep");
    else tiles.proven.set(ago(Math.min(...known.map((one) => one.time)), now), known.length < databases.length ? `${count(databases.length - known.length)} not yet` : "the longest ago of all", known.length < databases.length ? "none" : "good");
  }

  return {
    element,
    needs: { all: true },
    update(data, time) {
      now = time;
      const databases = data.status.databases;
      rows = databases.map(rowOf);
      for (const row of rows) row.search = `${row.db.path} ${row.db.url} ${row.db.state} ${row.verdict.name} ${row.verdict.error ? row.verdict.error.message : ""}`.toLowerCase();
      const whole = judgeAll(data.status, rows.map((row) => row.verdict));
      setText(title, whole.title);
      setText(text, whole.text);
      setAttribute(verdict, "data-level", whole.level);
      chips.forEach((chip, i) => setText(chip, i === 0 ? `All ${count(rows.length)}` : `${FILTERS[i][1]} ${count(whole.counts[FILTERS[i][0]])}`));
      drawTiles(databases, whole.counts, parse(data.status.started));
      draw();
      if (data.events) events.update(data.events, null, now);
      return whole;
    },
    stale(since) {
      setAttribute(verdict, "data-level", "unknown");
      setText(title, `No news since ${moment(since)}`);
      setText(text, "The daemon does not answer. What is below is what it said last, and may not be true any more.");
    },
    destroy() {},
    focusFilter() {
      filter.focus();
      filter.select();
    },
  };
}
