// SPDX-License-Identifier: Apache-2.0
// Asks the daemon again and again, and shows what it said, or that it says nothing.

import { ask, now, Refused, setToken } from "./api.js";
import { detail } from "./detail.js";
import { setAttribute, setText } from "./dom.js";
import { ago, moment } from "./format.js";
import { overview } from "./overview.js";

const PACE_MS = 2000, HIDDEN_PACE_MS = 30000, EVENTS_MS = 4000, SAMPLES_MS = { hour: 4000, week: 60000 }, HISTORY_MS = 5 * 60000, RETRY_HISTORY_MS = 20000;
const KEPT_MS = 31000; // the daemon gives the same listing again for so long

const main = document.getElementById("main"), news = document.getElementById("news"), newsText = document.getElementById("news-text");
const dialog = document.getElementById("token-dialog"), tokenProblem = document.getElementById("token-problem");
const themeSelect = document.getElementById("theme");

let view = null, route = null, turn = 0, timer = null, wake = null;
let data = {}, lastNews = null, whole = null, entered = false;
const due = { events: 0, samples: 0, history: 0 };
let span = "hour", listedAt = 0;

/* --- what is shown ------------------------------------------------------------------------------------------------ */

function readRoute() {
  const [place, query] = location.hash.replace(/^#/, "").split("?");
  const path = place === "/db" ? new URLSearchParams(query).get("path") : null;
  return { path };
}

function open() {
  route = readRoute();
  if (view) view.destroy();
  turn++;
  span = "hour";
  Object.assign(due, { events: 0, samples: 0, history: 0 });
  data = { events: data.events };
  view = route.path === null ? overview() : detail(route.path, {
    span(next) { span = next; due.samples = 0; soon(); },
    history() { due.history = 0; soon(); },
  });
  main.replaceChildren(view.element);
  soon();
}

/* A daemon of one database needs no list. */
function enter(databases) {
  if (entered) return false;
  entered = true;
  if (route.path !== null || databases.length !== 1 || location.hash !== "") return false;
  history.replaceState(null, "", `#/db?path=${encodeURIComponent(databases[0].path)}`);
  open();
  return true;
}

/* --- news --------------------------------------------------------------------------------------------------------- */

const TITLES = { good: "", warn: "! ", bad: "\u2716 ", unknown: "? " };

function tell(level, text) {
  setAttribute(news, "data-level", level);
  setText(newsText, text);
  setAttribute(document.body, "data-level", whole && level === "good" ? whole.level : level);
  document.title = `${TITLES[level === "good" && whole ? whole.level : level]}${whole && level === "good" ? whole.title : text} \u2013 weir`;
}

function silent(error) {
  const since = lastNews === null ? null : moment(lastNews);
  whole = null;
  document.body.classList.add("stale");
  if (since === null) {
    tell("unknown", `no answer from the daemon: ${error.message}`);
  } else {
    tell("unknown", `no news since ${since} (${ago(lastNews, Date.now())}): ${error.message}`);
    view.stale(lastNews);
  }
}

function askForToken(again) {
  setText(tokenProblem, again ? "The daemon does not know this token." : "");
  if (!dialog.open) dialog.showModal();
}

/* --- the questions ------------------------------------------------------------------------------------------------ */

async function fetchExtras(mine, at) {
  if (at >= due.events) {
    due.events = at + EVENTS_MS;
    data.events = (await ask("api/v1/events")).events;
  }
  if (route.path === null || mine !== turn) return;
  if (at >= due.samples && !document.hidden) {
    due.samples = at + SAMPLES_MS[span];
    const samples = await ask("api/v1/samples", { path: route.path, span });
    if (mine === turn) view.setSamples(samples);
  }
}

/* A page that the daemon refuses is no silence: what the status says still holds. */
function unlessRefused(error) {
  if (!(error instanceof Refused) || error.status === 401) throw error;
}

/* The replica may take long to be listed, or be away: everything else goes on meanwhile. */
async function fetchHistory(mine, at) {
  if (route.path === null || at < due.history) return;
  due.history = at + HISTORY_MS;
  try {
    const document = await ask("api/v1/history", { path: route.path }, 120000);
    if (mine !== turn) return;
    data.history = document;
    listedAt = Date.now();
    data.historyProblem = null;
    view.setHistory(document, now());
  } catch (error) {
    if (mine !== turn || (error instanceof Refused && error.status === 401)) return;
    due.history = Date.now() + RETRY_HISTORY_MS;
    data.historyProblem = error.message;
    view.setHistoryProblem(error.message);
  }
}

/* The listing is worth asking for again when something new is in it. */
function noticeObjects() {
  const db = route.path === null ? null : data.status.databases[0];
  const marks = db ? `${db.timeline} ${db.snapshot_txid} ${db.merge_txid}` : null;
  if (marks !== data.marks && data.history) due.history = Math.min(due.history, Math.max(Date.now(), listedAt + KEPT_MS));
  data.marks = marks;
}

function show() {
  whole = view.update(data, now());
  document.body.classList.remove("stale");
  lastNews = Date.now();
  setText(document.getElementById("version"), `${data.status.version} \u00b7 pid ${data.status.pid}`);
  tell("good", "live");
}

/** How long to wait before the next question: what takes the daemon longer is asked less often. */
function pace(tookMs) {
  return Math.max(document.hidden ? HIDDEN_PACE_MS : PACE_MS, 10 * tookMs, data.status && route.path === null ? data.status.databases.length * 2 : 0);
}

async function round() {
  const mine = turn, began = Date.now();
  let took = 0;
  try {
    const status = await ask("api/v1/status", route.path === null ? {} : { path: route.path });
    took = Date.now() - began;
    if (mine !== turn) return;
    data.status = status;
    if (dialog.open) dialog.close();
    if (enter(status.databases)) return;
    noticeObjects();
    show();
    fetchHistory(mine, Date.now());
    await fetchExtras(mine, Date.now()).catch(unlessRefused);
    if (mine === turn && data.status) show();
  } catch (error) {
    if (mine !== turn) return;
    if (error instanceof Refused && error.status === 401) {
      const had = sessionStorage.getItem("weir-token") !== null;
      tell("unknown", "the daemon asks for a token");
      askForToken(had);
      return; // the form goes on
    }
    silent(error);
  }
  if (mine === turn) later(pace(took));
}

function later(ms) {
  clearTimeout(timer);
  timer = setTimeout(run, ms);
}

let running = false;

async function run() {
  clearTimeout(timer);
  if (running) {
    wake = true;
    return;
  }
  running = true;
  try {
    await round();
  } finally {
    running = false;
  }
  if (wake) {
    wake = false;
    later(0);
  }
}

function soon() {
  later(0);
}

/* --- the page itself ---------------------------------------------------------------------------------------------- */

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  if (view && view.redraw) view.redraw();
}

document.getElementById("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = document.getElementById("token");
  setToken(input.value.trim());
  input.value = "";
  soon();
});
dialog.addEventListener("cancel", (event) => event.preventDefault());
themeSelect.value = localStorage.getItem("weir-theme") || "auto";
themeSelect.addEventListener("change", () => {
  localStorage.setItem("weir-theme", themeSelect.value);
  setTheme(themeSelect.value);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => view && view.redraw && view.redraw());
document.addEventListener("visibilitychange", soon);
addEventListener("hashchange", open);
document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
  if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
  if (event.key === "/" && !typing && view.focusFilter) {
    event.preventDefault();
    view.focusFilter();
  } else if (event.key === "Escape" && route.path !== null && !typing) {
    location.hash = "#/";
  }
});

setTheme(themeSelect.value);
open();
