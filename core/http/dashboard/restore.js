// SPDX-License-Identifier: Apache-2.0
// "Restore": pick a moment or a commit, get the command for it.

import { h, replace, setAttribute, setText } from "./dom.js";
import { ago, baseName, bytes, count, duration, moment, typedTime, utc, zone } from "./format.js";
import { earliest, readHistory, stateAt, txidProblem } from "./lineage.js";
import { picker } from "./picker.js";

/** For a POSIX shell. */
export function quote(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\\''")}'`;
}

function quoteAlways(text) {
  return `'${text.replace(/'/g, "'\\''")}'`;
}

function outputName(path, what) {
  const base = baseName(path).replace(/\.(db|sqlite3?|sqlite)$/i, "");
  return quote(`./${base.replace(/^-+/, "")}-restored-${what}.db`);
}

export function restorePanel(onRefresh) {
  const command = h("code", { id: "restore-command", tabindex: "0", "aria-label": "Restore command" });
  const copied = h("span", { class: "copied", role: "status" });
  const copyButton = h("button", { type: "button", id: "copy-command", class: "primary", onclick: copy }, "Copy");
  const explain = h("p", { class: "explain", id: "restore-explain", role: "status" });
  const timeInput = h("input", { id: "restore-time", type: "text", autocomplete: "off", spellcheck: "false", placeholder: "14:05:30, 10 min ago, 2026-11-21 14:05", "aria-describedby": "restore-explain", oninput: typeTime });
  const txidInput = h("input", { id: "restore-txid", type: "text", inputmode: "numeric", autocomplete: "off", placeholder: "1207", "aria-describedby": "restore-explain", oninput: typeTxid });
  const timelineSelect = h("select", { id: "restore-timeline", onchange: () => { number = Number(timelineSelect.value); line.setTimeline(number); redraw(); } });
  const timelineField = h("div", { class: "field", hidden: true }, h("label", { for: "restore-timeline" }, "On timeline"), timelineSelect);
  const sourceSelect = h("select", { id: "restore-source", onchange: redraw },
    h("option", { value: "url" }, "anywhere (URL)"), h("option", { value: "configuration" }, "here (configuration)"));
  const sourceField = h("div", { class: "field", hidden: true }, h("label", { for: "restore-source" }, "Restore"), sourceSelect);
  const listed = h("span", { class: "card-note" });
  const refresh = h("button", { type: "button", class: "quiet", id: "restore-refresh", onclick: () => onRefresh() }, "List again");
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const facts = h("dl", { class: "facts" });
  const line = picker((time) => { [mode, at] = ["time", time]; timeInput.value = localText(time); txidInput.value = ""; redraw(); });
  const element = h("section", { class: "card restore", id: "restore" },
    h("div", { class: "card-head" }, h("h2", null, "Restore"), h("span", { class: "head-end" }, listed, refresh)),
    problem, line.element,
    h("div", { class: "fields" },
      h("div", { class: "field wide" }, h("label", { for: "restore-time" }, `Time (${zone()})`), timeInput),
      h("div", { class: "field" }, h("label", { for: "restore-txid" }, "or commit number"), txidInput), timelineField, sourceField),
    explain,
    h("div", { class: "command" }, command, copyButton, copied), facts);
  let history = null, number = 0, newest = 0, mode = "newest", at = 0, db = null, configuration = null, now = 0;

  function localText(time) {
    const date = new Date(time), two = (n, width = 2) => String(n).padStart(width, "0");
    const text = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
    return date.getMilliseconds() ? `${text}.${two(date.getMilliseconds(), 3)}` : text;
  }

  function typeTime() {
    txidInput.value = "";
    const time = typedTime(timeInput.value, now);
    if (timeInput.value.trim() === "") [mode, at] = ["newest", 0];
    else if (time === null) [mode, at] = ["wrong", "This is no time. Try 14:05:30, yesterday 14:05, 10 min ago, or 2026-11-21T14:05:30Z."];
    else [mode, at] = ["time", time];
    line.setPicked(mode === "time" ? at : null);
    redraw();
  }

  function typeTxid() {
    timeInput.value = "";
    const text = txidInput.value.trim().replace(/[,\s]/g, "");
    line.setPicked(null);
    if (text === "") [mode, at] = ["newest", 0];
    else if (!/^[1-9]\d{0,15}$/.test(text)) [mode, at] = ["wrong", "A commit number is a whole number from 1 on."];
    else [mode, at] = ["txid", Number(text)];
    redraw();
  }

  async function copy() {
    const text = command.textContent;
    try {
      await navigator.clipboard.writeText(text);
      setText(copied, "Copied");
    } catch {
      // No clipboard without HTTPS or localhost: select it, so that the keyboard can.
      getSelection().selectAllChildren(command);
      setText(copied, document.execCommand("copy") ? "Copied" : "Press Ctrl+C");
    }
    setTimeout(() => setText(copied, ""), 2500);
  }

  /** {options, name, text}, or {problem}. */
  function decide() {
    if (mode === "wrong") return { problem: at };
    const tip = history && history.byNumber.get(number) ? history.byNumber.get(number).tip : null;
    if (mode === "newest")
      return { options: "", name: "newest", text: tip ? `The newest state: commit ${count(tip.txid)} of ${moment(tip.time, now)}, ${ago(tip.time, now)}.` : "The newest state that is in the replica." };
    if (mode === "txid") {
      const wrong = history ? txidProblem(history, number, at) : "";
      return wrong ? { problem: wrong } : { options: ` --txid ${at}`, name: `txid-${at}`, text: `The database exactly as commit ${count(at)} left it.` };
    }
    const stamp = ` --timestamp ${utc(at)}`, name = utc(at).replace(/[-:]/g, "");
    if (!history) return { options: stamp, name, text: `The last commit at or before ${moment(at, now)}.` };
    const state = stateAt(history, number, at);
    if (state.kind === "untold") return { options: stamp, name, text: `The last commit at or before ${moment(at, now)}. The listing does not tell whether it can be restored: see below.` };
    if (state.kind === "none") return { problem: "Nothing can be restored on this timeline yet." };
    if (state.kind === "before") return { problem: `There is nothing that early. The earliest state that can be restored is of ${moment(state.first, now)}.` };
    if (state.kind === "tip")
      return { options: ` --txid ${state.txid}`, name: `txid-${state.txid}`, text: `No commit has come into the replica since ${moment(state.time, now)}: at that moment the database was as commit ${count(state.txid)} left it.` };
    if (state.kind === "kept")
      return { options: ` --timestamp ${utc(at)}`, name, text: `Single commits of that time were thinned out by the retention rules. You get the last kept state before it: commit ${count(state.txid)} of ${moment(state.time, now)}.` };
    return { options: stamp, name, text: `The last commit at or before ${moment(at, now)} (${ago(at, now)})${state.about !== null ? `, about number ${count(state.about)}` : ""}.` };
  }

  function redraw() {
    if (!db) return;
    const decision = decide();
    const source = sourceSelect.value === "configuration" && configuration ? `${quoteAlways(db.path)} -c ${quoteAlways(configuration)}` : quoteAlways(db.url);
    const timeline = number !== newest && number !== 0 ? ` --timeline ${number}` : "";
    setText(explain, decision.problem || decision.text);
    setAttribute(explain, "data-level", decision.problem ? "bad" : "none");
    setText(command, decision.problem ? "" : `weir restore ${source}${timeline}${decision.options} -o ${outputName(db.path, decision.name)}`);
    copyButton.disabled = Boolean(decision.problem);
  }

  function drawTimelines() {
    const many = history.timelines.length > 1;
    timelineField.hidden = !many;
    const options = [...history.timelines].reverse().map((one) =>
      h("option", { value: one.number }, `${one.number}${one.number === newest ? " (current)" : ""}${one.parent ? ` \u2013 from ${one.parent} behind txid ${count(one.forkTxid)}` : ""}`));
    replace(timelineSelect, options);
    timelineSelect.value = String(number);
  }

  function drawFacts() {
    const sum = (list, get) => list.reduce((total, one) => total + get(one), 0), { timelines } = history;
    const snapshots = timelines.flatMap((one) => one.snapshots), merges = timelines.flatMap((one) => one.merges);
    const from = earliest(history, newest);
    const rows = [
      ["Restorable from", from === null ? "nothing yet" : `${moment(from, now)} (${duration(now - from)})`],
      ["In the replica", bytes(history.bytes)],
      ["Snapshots", snapshots.length ? `${count(snapshots.length)}, ${bytes(sum(snapshots, (one) => one.bytes))}` : "none"],
      ["Merges", merges.length ? `${count(merges.length)}, ${bytes(sum(merges, (one) => one.bytes))}` : "none"],
      ["Log", `${count(sum(timelines, (one) => one.objects))} objects, ${bytes(sum(timelines, (one) => one.logBytes))}`],
      ["Timelines", timelines.map((one) => one.number).slice(-20).join(", ")],
    ];
    for (const one of timelines.filter((timeline) => timeline.damage)) rows.push([`Timeline ${one.number}`, `DAMAGED: ${one.damage}`]);
    if (history.gaps.length) rows.push(["Gaps", `${count(history.gaps.length)} since the daemon opened it; weir ls --gaps finds all`]);
    if (history.cut) rows.push(["Not everything", "is shown here, there is too much; weir ls shows the rest"]);
    replace(facts, rows.map(([name, text]) => h("div", null, h("dt", null, name), h("dd", null, text))));
  }

  return {
    element,
    setHistory(document, time) {
      const first = history === null;
      const before = newest;
      history = readHistory(document);
      now = time;
      newest = history.timelines.length ? history.timelines[history.timelines.length - 1].number : 0;
      if (first || number === before) number = newest;
      problem.hidden = true;
      refresh.disabled = false;
      line.setTimeline(number);
      line.setHistory(history, now);
      drawTimelines();
      drawFacts();
      redraw();
      return history;
    },
    setProblem(text) {
      problem.hidden = false;
      refresh.disabled = false;
      setText(problem, `What the replica holds could not be listed: ${text}`);
    },
    busy() {
      refresh.disabled = true;
    },
    follow(newDb, newConfiguration, time, gap) {
      [db, configuration, now] = [newDb, newConfiguration, time];
      sourceField.hidden = configuration === null;
      setText(listed, history ? `listed ${ago(history.made, now)}` : "listing the replica");
      line.follow(db, now, gap);
      if (mode !== "wrong") redraw();
      if (history) drawFacts();
    },
    earliest: () => (history ? earliest(history, newest) : null),
    bytes: () => (history ? history.bytes : null),
    destroy: () => line.destroy(),
  };
}
