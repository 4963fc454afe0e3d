// SPDX-License-Identifier: Apache-2.0
// The last things that happened.

import { h, replace } from "./dom.js";
import { ago, baseName, moment, parse } from "./format.js";

const LEVEL = { failure: "bad", gap: "bad", healed: "good", alert: "bad", drill: "none", scrub: "none", triggers: "none" };
const BAD_STATE = /-> (behind|spooling|gap|fenced|failed|retrying|stopped)\b|^(fenced|failed|retrying)\b/;

function levelOf(event) {
  if (event.kind === "state") return BAD_STATE.test(event.text) ? "bad" : /(^|-> )replicating/.test(event.text) ? "good" : "none";
  return LEVEL[event.kind] || "none";
}

export function eventList(label) {
  const list = h("ol", { class: "events", "aria-label": label });
  const more = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => { limit = 200; draw(); } }, "Show all");
  const element = h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", null, label)), list, more);
  let limit = 12, shown = "", events = [], single = false, clockNow = 0;

  function row(event) {
    const time = parse(event.time);
    return h("li", { "data-level": levelOf(event) },
      h("time", { datetime: event.time, title: event.time }, time === null ? event.time : moment(time, clockNow)),
      h("span", { class: "badge" }, event.kind),
      h("span", { class: "event-text" },
        !single && event.path ? h("a", { href: `#/db?path=${encodeURIComponent(event.path)}`, title: event.path }, baseName(event.path)) : null,
        !single && event.path ? " " : null, event.text,
        event.times > 1 ? h("span", { class: "times" }, ` ${event.times} times`) : null));
  }

  /* What goes on and on is one line with a count, so that it hides nothing else. */
  function folded() {
    const rows = [];
    for (const event of events) {
      const same = rows.slice(-6).find((one) => one.kind === event.kind && one.path === event.path && one.text === event.text);
      if (same) same.times++;
      else rows.push({ ...event, times: 1 });
    }
    return rows;
  }

  function draw() {
    const rows = folded();
    replace(list, rows.length ? rows.slice(0, limit).map(row)
      : [h("li", { class: "empty" }, "Nothing has happened since the daemon began.")]);
    more.hidden = rows.length <= limit;
  }

  return {
    element,
    update(all, path, now) {
      const wanted = path ? all.filter((event) => event.path === path) : all;
      const key = JSON.stringify([wanted.length, wanted[0], path]);
      clockNow = now;
      if (key === shown) return;
      [shown, events, single] = [key, wanted, Boolean(path)];
      draw();
    },
    lastFailure() {
      const event = events.find((one) => one.kind === "failure");
      return event ? { ...event, when: ago(parse(event.time) ?? 0, clockNow) } : null;
    },
  };
}
