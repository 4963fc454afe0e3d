// SPDX-License-Identifier: Apache-2.0
// The time line of a history, where a moment is picked by mouse, touch or keyboard. Draws; lineage.js knows.

import { h, replace, setAttribute, svg } from "./dom.js";
import { bytes, count, duration, moment } from "./format.js";
import { extendTip, legsOf, timeOf } from "./lineage.js";

const LANE = 26, TOP = 10, AXIS = 24, LANES_MAX = 12, MARKS_MAX = 400, SPAN_MIN = 2000, MARGIN = 8;
const STEPS = [1000, 5000, 15000, 60000, 300000, 900000, 3600000, 3 * 3600000, 6 * 3600000, 12 * 3600000, 86400000, 2 * 86400000, 7 * 86400000, 14 * 86400000, 30 * 86400000, 91 * 86400000, 365 * 86400000];

function tickText(ms, step) {
  const at = new Date(ms), two = (n) => String(n).padStart(2, "0");
  if (step >= 86400000) return at.toLocaleDateString(undefined, step >= 30 * 86400000 ? { month: "short", year: "numeric" } : { month: "short", day: "numeric" });
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}`;
  if (step < 60000) return `${clock}:${two(at.getSeconds())}`;
  return at.getHours() === 0 && at.getMinutes() === 0 ? at.toLocaleDateString(undefined, { month: "short", day: "numeric" }) : clock;
}

/** No more marks than there are pixels for them; the last of each pixel stays. */
function thin(marks, x) {
  const kept = new Map();
  for (const mark of marks) kept.set(Math.round(x(mark.time) / 3), mark);
  return [...kept.values()].slice(-MARKS_MAX);
}

export function picker(onPick) {
  const drawing = svg("svg", { class: "lanes", "aria-hidden": "true" });
  const slider = h("div", {
    class: "picker", role: "slider", tabindex: "0", id: "picker", "aria-label": "Moment to restore",
    "aria-describedby": "picker-keys", "aria-orientation": "horizontal",
  }, drawing);
  const tools = [["all", "All", () => show(0)], ["week", "7 d", () => show(7 * 86400000)], ["day", "24 h", () => show(86400000)], ["hour", "1 h", () => show(3600000)],
    ["out", "\u2212", () => zoom(2)], ["in", "+", () => zoom(0.5)]].map(([id, text, run]) =>
    h("button", { type: "button", "data-zoom": id, onclick: run, "aria-label": { out: "Zoom out", in: "Zoom in", all: "Show the whole history" }[id] || `Show the last ${text}` }, text));
  const element = h("div", null,
    h("div", { class: "picker-tools" },
      h("ul", { class: "legend" },
        h("li", null, h("i", { class: "key key-exact" }), "every commit"), h("li", null, h("i", { class: "key key-kept" }), "kept states only"),
        h("li", null, h("i", { class: "key key-snapshot" }), "snapshot"), h("li", null, h("i", { class: "key key-merge" }), "merge"), h("li", null, h("i", { class: "key key-gap" }), "gap")),
      h("div", { class: "segmented", role: "group", "aria-label": "Zoom" }, tools)),
    slider,
    h("p", { class: "card-note", id: "picker-keys" }, "Click or tap a moment. Arrow keys move by one pixel, with Shift by ten; Page Up and Page Down by an hour; Home and End go to the ends; + and \u2212 zoom."));
  let history = null, number = 0, picked = null, gaps = [], now = 0;
  let from = 0, to = 1, following = true, spanShown = 0, width = 0;

  const bounds = () => {
    const times = history.timelines.flatMap((one) => [one.begun, one.tip ? one.tip.time : null, one.anchors.length ? one.anchors[0].time : null]).filter((ms) => ms !== null);
    const low = times.length ? Math.min(...times) : now - 3600000, high = Math.max(now, ...times);
    return [low - Math.max(500, (high - low) * 0.01), high];
  };
  const x = (time) => MARGIN + ((time - from) / (to - from)) * (width - 2 * MARGIN);
  const timeAt = (px) => Math.round(from + ((px - MARGIN) / (width - 2 * MARGIN)) * (to - from));

  function show(span) {
    const [low, high] = bounds();
    [from, to, following, spanShown] = [span === 0 ? low : Math.max(low, high - span), high, true, span];
    draw();
  }

  function zoom(factor, at) {
    const [low, high] = bounds();
    const centre = at ?? (picked !== null && picked >= from && picked <= to ? picked : (from + to) / 2);
    const share = (centre - from) / (to - from);
    const span = Math.min(high - low, Math.max(SPAN_MIN, (to - from) * factor));
    from = Math.max(low, Math.min(high - span, centre - share * span));
    to = from + span;
    [following, spanShown] = [to >= high - 1 && span >= high - low - 1, 0];
    draw();
  }

  function pick(time) {
    const [low, high] = bounds();
    picked = Math.round(Math.max(low, Math.min(high, time)));
    reveal();
    draw();
    onPick(picked);
  }

  function reveal() {
    if (picked === null || (picked >= from && picked <= to)) return;
    const span = to - from;
    from = picked - span / 2;
    to = from + span;
    following = false;
  }

  function lane(timeline, row, legs) {
    const y = TOP + row * LANE, mid = y + LANE / 2 - 2;
    const onWay = legs.some((leg) => leg.timeline === timeline);
    const group = svg("g", { class: onWay ? "lane on-way" : "lane" });
    const end = (timeline.tip ? timeline.tip.time : timeline.begun) ?? now;
    const begin = timeline.begun ?? end;
    group.append(svg("line", { class: "rail", x1: x(Math.min(begin, end)), x2: x(end), y1: mid, y2: mid }));
    const bar = (kind, span) => svg("rect", { class: kind, x: x(span.from), y: mid - 6, width: Math.max(3, x(span.to) - x(span.from)), height: 12, rx: Math.min(3, Math.max(0, x(span.to) - x(span.from)) / 4) });
    const { ranges } = timeline;
    if (ranges.length > 1) group.append(bar("span-kept", { from: ranges[0].from, to: ranges[ranges.length - 1].from }));
    for (const range of ranges.length > MARKS_MAX ? thin(ranges.map((one) => ({ ...one, time: one.to })), x) : ranges) group.append(bar("span-exact", range));
    for (const mark of thin(timeline.merges, x))
      group.append(svg("line", { class: "merge", x1: x(mark.time), x2: x(mark.time), y1: mid - 6, y2: mid + 6 }, svg("title", null, `Merge of level ${mark.level}, txid ${count(mark.txid)}, ${moment(mark.time, now)}, ${bytes(mark.bytes)}`)));
    for (const mark of thin(timeline.snapshots, x))
      group.append(svg("path", { class: "snapshot", d: `M${x(mark.time)} ${mid - 7}l5 7l-5 7l-5 -7z` }, svg("title", null, `Snapshot, txid ${count(mark.txid)}, ${moment(mark.time, now)}, ${bytes(mark.bytes)}`)));
    for (const gap of gaps.filter((one) => one.timeline === timeline.number))
      group.append(svg("rect", { class: "gap", x: x(gap.from), y: mid - 6, width: Math.max(3, x(gap.to) - x(gap.from)), height: 12 }, svg("title", null, "Gap: commits here cannot be told apart")));
    if (history.timelines.length > 1) group.append(svg("text", { class: "lane-name", x: Math.max(MARGIN, x(Math.min(begin, end))), y: y + 4 }, `timeline ${timeline.number}${timeline.damage ? " (damaged)" : ""}`));
    return group;
  }

  function fork(timeline, rows) {
    const parent = history.byNumber.get(timeline.parent);
    if (!parent || !rows.has(parent)) return null;
    const mid = (one) => TOP + rows.get(one) * LANE + LANE / 2 - 2, begun = timeline.begun ?? 0;
    const at = x(Math.min(begun, timeOf(parent, timeline.forkTxid) ?? begun));
    return svg("path", { class: "fork", d: `M${at} ${mid(parent)}V${mid(timeline)}H${x(begun)}` });
  }

  function axis(height) {
    const step = STEPS.find((one) => ((to - from) / one) * 74 <= width) || STEPS[STEPS.length - 1];
    const offset = new Date(from).getTimezoneOffset() * 60000, group = svg("g", { class: "axis" });
    for (let ms = Math.ceil((from - offset) / step) * step + offset; ms <= to; ms += step) {
      group.append(svg("line", { x1: x(ms), x2: x(ms), y1: TOP, y2: height - AXIS + 4 }));
      if (x(ms) > 18 && x(ms) < width - 18) group.append(svg("text", { x: x(ms), y: height - 6, "text-anchor": "middle" }, tickText(ms, step)));
    }
    return group;
  }

  function draw() {
    if (!history) return;
    width = Math.floor(slider.clientWidth);
    if (width < 50) return;
    const legs = legsOf(history, number);
    const shown = history.timelines.slice(-LANES_MAX), rows = new Map(shown.map((one, i) => [one, i]));
    const height = TOP + shown.length * LANE + AXIS;
    setAttribute(drawing, "viewBox", `0 0 ${width} ${height}`);
    setAttribute(drawing, "width", width);
    setAttribute(drawing, "height", height);
    const parts = [axis(height), ...shown.map((one) => fork(one, rows)).filter(Boolean), ...shown.map((one, i) => lane(one, i, legs))];
    if (picked !== null && picked >= from && picked <= to)
      parts.push(svg("g", { class: "cursor" }, svg("line", { x1: x(picked), x2: x(picked), y1: 2, y2: height - AXIS + 4 }), svg("circle", { cx: x(picked), cy: 6, r: 5 })));
    replace(drawing, parts);
    const [low, high] = bounds();
    slider.dataset.from = Math.round(from);
    slider.dataset.to = Math.round(to);
    setAttribute(slider, "aria-valuemin", Math.round(low));
    setAttribute(slider, "aria-valuemax", Math.round(high));
    setAttribute(slider, "aria-valuenow", picked ?? Math.round(high));
    setAttribute(slider, "aria-valuetext", picked === null ? "nothing picked" : `${moment(picked, now)}, ${duration(Math.max(0, now - picked))} ago`);
    for (const button of tools)
      setAttribute(button, "aria-pressed", following && { all: 0, week: 7 * 86400000, day: 86400000, hour: 3600000 }[button.dataset.zoom] === spanShown ? "true" : null);
  }

  slider.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !history) return;
    slider.setPointerCapture(event.pointerId);
    slider.focus({ preventScroll: true });
    pick(timeAt(event.clientX - slider.getBoundingClientRect().left));
  });
  slider.addEventListener("pointermove", (event) => {
    if (history && slider.hasPointerCapture(event.pointerId)) pick(timeAt(event.clientX - slider.getBoundingClientRect().left));
  });
  slider.addEventListener("wheel", (event) => {
    if (!history || !(event.ctrlKey || event.shiftKey)) return; // the page scrolls otherwise
    event.preventDefault();
    zoom(event.deltaY + event.deltaX > 0 ? 1.25 : 0.8, timeAt(event.clientX - slider.getBoundingClientRect().left));
  }, { passive: false });
  slider.addEventListener("keydown", (event) => {
    if (!history || event.ctrlKey || event.metaKey || event.altKey) return;
    const pixel = Math.max(1, (to - from) / (width - 2 * MARGIN)) * (event.shiftKey ? 10 : 1), [low, high] = bounds(), at = picked ?? high;
    const moves = { ArrowLeft: at - pixel, ArrowDown: at - pixel, ArrowRight: at + pixel, ArrowUp: at + pixel, PageUp: at + 3600000, PageDown: at - 3600000, Home: low, End: high };
    if (event.key in moves) pick(moves[event.key]);
    else if (event.key === "+" || event.key === "=") zoom(0.5);
    else if (event.key === "-") zoom(2);
    else return;
    event.preventDefault();
  });
  const resized = new ResizeObserver(draw);
  resized.observe(slider);

  return {
    element,
    setHistory(next, time) {
      const first = history === null;
      [history, now] = [next, time];
      if (first) show(0);
      else draw();
    },
    /** The daemon shipped more, or time passed. */
    follow(db, time, newGap) {
      [now, gaps] = [time, newGap ? [newGap] : []];
      if (!history) return;
      gaps = gaps.concat(history.gaps);
      extendTip(history, db);
      if (following) show(spanShown);
      else draw();
    },
    setTimeline(next) {
      number = next;
      draw();
    },
    /** Typed elsewhere; null: none. */
    setPicked(time) {
      picked = time;
      if (history) reveal();
      draw();
    },
    destroy: () => resized.disconnect(),
  };
}
