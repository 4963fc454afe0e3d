// SPDX-License-Identifier: Apache-2.0
// Charts of a database's samples, drawn by uPlot.

import { h, setText } from "./dom.js";
import { bytes, duration, rate } from "./format.js";

const uPlot = window.uPlot;
const HEIGHT = 150;
const BINARY = Array.from({ length: 50 }, (_, i) => 2 ** i);

const KINDS = [
  { id: "lag", title: "Lag", column: "lag_ms", how: "max", keep: true, text: duration, floor: 1000 },
  { id: "commits", title: "Commits per second", column: "commits", how: "rate", keep: false, text: rate, floor: 1 },
  { id: "bytes", title: "Shipped per second", column: "bytes", how: "rate", keep: false, text: bytes, floor: 1024, binary: true },
  { id: "log", title: "Log in use", column: "log_bytes", how: "last", keep: true, text: bytes, floor: 65536, binary: true },
];

/**
 * Steps put together until there are at most `limit` points. A step without a note is one in which nothing happened: a
 * rate is 0 then, and a level stays as it was; before the first note nothing is known.
 */
export function condense(samples, kind, limit) {
  const values = samples[kind.column] || [], width = Math.max(1, Math.ceil(values.length / limit));
  const times = [], points = [];
  let last = null, begun = false;
  for (let i = 0; i < values.length; i += width) {
    let sum = 0, max = kind.keep && last !== null ? last : 0;
    for (let j = i; j < Math.min(i + width, values.length); j++) {
      if (values[j] === null) continue;
      begun = true;
      sum += values[j];
      max = kind.how === "max" ? Math.max(j === i ? 0 : max, values[j]) : max;
      last = values[j];
    }
    times.push((samples.first_ms + Math.min(i + width, values.length) * samples.step_ms) / 1000);
    if (!begun) points.push(null);
    else if (kind.how === "rate") points.push(sum / (Math.min(width, values.length - i) * samples.step_ms / 1000));
    else points.push(kind.how === "max" ? max : last);
  }
  return [times, points];
}

/** A daemon that began a moment ago has little to show: the part before that is left out, but for a minimum. */
export function trim(samples) {
  const columns = KINDS.map((kind) => samples[kind.column] || []);
  const count = Math.max(...columns.map((column) => column.length));
  const first = Math.min(...columns.map((column) => column.findIndex((value) => value !== null)).map((at) => (at === -1 ? count : at)));
  const from = Math.max(0, Math.min(first - 5, count - 300));
  const cut = { ...samples, first_ms: samples.first_ms + from * samples.step_ms };
  for (const kind of KINDS) cut[kind.column] = (samples[kind.column] || []).slice(from);
  return cut;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function options(kind, width, sync) {
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  return {
    width, height: HEIGHT, padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: sync }, y: false, drag: { setScale: false, x: false, y: false }, points: { size: 6 } },
    scales: { x: { time: true }, y: { range: (u, low, high) => [0, Math.max(kind.floor, (high || 0) * 1.1)] } },
    axes: [
      { ...axis, space: 70, size: 26, values: [[86400, "{MMM} {D}"], [3600, "{HH}:{mm}"], [60, "{HH}:{mm}"], [1, "{HH}:{mm}:{ss}"]].map(([step, form]) => [step, form, null, null, null, null, null, null, 1]) },
      { ...axis, size: 66, space: 36, ...(kind.binary ? { incrs: BINARY } : {}), values: (u, ticks) => ticks.map((v) => kind.text(v)) },
    ],
    series: [{}, { stroke: colour(`--chart-${kind.id}`), fill: colour(`--chart-${kind.id}-fill`), width: 1.5, points: { show: false }, paths: uPlot.paths.stepped({ align: -1 }) }],
  };
}

function chart(kind, sync) {
  const canvas = h("div", { class: "plot", role: "img" });
  const figure = h("span", { class: "figure" });
  const element = h("figure", { class: "chart", id: `chart-${kind.id}` }, h("figcaption", null, h("span", null, kind.title), figure), canvas);
  let plot = null, data = null, shown = "";

  function readout(u) {
    const at = u && u.cursor.idx;
    const values = (data ? data[1] : []).filter((v) => v !== null);
    if (values.length === 0) return setText(figure, "nothing yet");
    if (at !== null && at !== undefined && data[1][at] !== null && u.cursor.left >= 0)
      return setText(figure, `${kind.text(data[1][at])} at ${new Date(data[0][at] * 1000).toLocaleTimeString(undefined, { hourCycle: "h23" })}`);
    return setText(figure, `${kind.text(values[values.length - 1])} now \u00b7 max ${kind.text(Math.max(...values))}`);
  }

  return {
    element,
    draw(samples) {
      const width = Math.floor(canvas.clientWidth);
      if (width < 50) return;
      data = condense(samples, kind, Math.max(60, Math.min(360, Math.floor(width / 2))));
      const key = `${width}/${colour("--muted")}`;
      if (key !== shown) {
        if (plot) plot.destroy();
        plot = new uPlot({ ...options(kind, width, sync), hooks: { setCursor: [readout] } }, data, canvas);
        shown = key;
      } else {
        plot.setData(data);
      }
      readout(plot);
      const values = data[1].filter((v) => v !== null);
      canvas.setAttribute("aria-label", values.length ? `${kind.title}: now ${kind.text(values[values.length - 1])}, at most ${kind.text(Math.max(...values))}` : `${kind.title}: nothing yet`);
      element.dataset.points = values.length;
    },
    destroy() {
      if (plot) plot.destroy();
      plot = null;
    },
  };
}

export function chartGroup(onSpan) {
  const charts = KINDS.map((kind) => chart(kind, "weir"));
  const spans = [["hour", "Last hour"], ["week", "Last week"]].map(([value, text]) =>
    h("button", { type: "button", "data-span": value, "aria-pressed": value === "hour", onclick: () => choose(value) }, text));
  const note = h("p", { class: "card-note" });
  const element = h("section", { class: "card" },
    h("div", { class: "card-head" }, h("h2", null, "Lag and throughput"), h("div", { class: "segmented", role: "group", "aria-label": "Time span" }, spans)),
    h("div", { class: "charts" }, charts.map((one) => one.element)), note);
  let latest = null;

  function choose(span) {
    for (const button of spans) button.setAttribute("aria-pressed", button.dataset.span === span);
    onSpan(span);
  }

  const redraw = () => latest && charts.forEach((one) => one.draw(latest));
  const resized = new ResizeObserver(redraw);
  resized.observe(element);
  return {
    element,
    update(samples) {
      latest = trim(samples);
      redraw();
      setText(note, `Steps of ${duration(samples.step_ms)}, kept in the daemon's memory since it began.`);
    },
    redraw,
    destroy() {
      resized.disconnect();
      charts.forEach((one) => one.destroy());
    },
  };
}

export { KINDS };
