// SPDX-License-Identifier: Apache-2.0
// What a history holds, from its listing: which moments of which timeline can be restored. No drawing here.

import { parse } from "./format.js";

function byTxid(a, b) {
  return a.txid - b.txid || a.time - b.time;
}

function known(marks) {
  return marks.filter((one) => one.time !== null);
}

function readTimeline(raw) {
  const snapshots = known(raw.snapshots.map((one) => ({ txid: one.txid, time: parse(one.time), bytes: one.bytes })));
  const merges = known(raw.merges.map((one) => ({ txid: one.txid, time: parse(one.time), bytes: one.bytes, level: one.level })));
  const begun = parse(raw.begun), ranges = raw.restorable || [];
  const tip = raw.tip && parse(raw.tip.time) !== null ? { txid: raw.tip.txid, time: parse(raw.tip.time) } : null;
  const ends = ranges.flatMap((one) => [{ txid: one.first_txid, time: parse(one.first_time) }, { txid: one.last_txid, time: parse(one.last_time) }]);
  const anchors = known([...snapshots, ...merges, ...ends].map(({ txid, time }) => ({ txid, time })));
  if (tip) anchors.push({ ...tip });
  if (begun !== null && raw.parent) anchors.push({ txid: raw.fork_txid, time: begun });
  anchors.sort(byTxid);
  for (let i = 1; i < anchors.length; i++) anchors[i].time = Math.max(anchors[i].time, anchors[i - 1].time);
  const timeline = {
    number: raw.timeline, parent: raw.parent || null, forkTxid: raw.fork_txid || 0, begun, tip, anchors, snapshots, merges,
    damage: raw.damage, told: raw.restorable !== null, cut: raw.cut,
    logBytes: raw.segments.bytes + raw.folds.bytes, objects: raw.segments.count + raw.folds.count,
  };
  timeline.ranges = ranges.map((one) => ({
    first: one.first_txid, last: one.last_txid,
    from: parse(one.first_time) ?? timeOf(timeline, one.first_txid) ?? begun, to: parse(one.last_time) ?? timeOf(timeline, one.last_txid) ?? begun,
  }));
  return timeline;
}

/** Commit times are known at snapshots, merges, ends of ranges and the tip; between them they are estimated. */
export function timeOf(timeline, txid) {
  const { anchors } = timeline;
  if (anchors.length === 0) return timeline.begun;
  const i = anchors.findIndex((one) => one.txid >= txid);
  if (i === -1) return anchors[anchors.length - 1].time;
  if (anchors[i].txid === txid || i === 0) return anchors[i].time;
  const a = anchors[i - 1], b = anchors[i];
  return a.time + ((b.time - a.time) * (txid - a.txid)) / (b.txid - a.txid);
}

export function readHistory(document) {
  const timelines = document.timelines.map(readTimeline);
  const sum = (list) => list.reduce((total, one) => total + one.bytes, 0);
  return {
    timelines, byNumber: new Map(timelines.map((one) => [one.number, one])), made: parse(document.time), cut: document.cut,
    bytes: timelines.reduce((total, one) => total + one.logBytes + sum(one.snapshots) + sum(one.merges), 0),
    gaps: document.gaps.list.map((gap) => ({ timeline: gap.timeline, from: parse(gap.after_time) ?? parse(gap.time), to: parse(gap.time) })).filter((gap) => gap.to !== null),
  };
}

/** What has been shipped since the listing was made. */
export function extendTip(history, db) {
  const timeline = history.byNumber.get(db.timeline), time = parse(db.shipped_time);
  if (!timeline || time === null || !db.shipped_txid) return;
  if (timeline.tip && timeline.tip.txid >= db.shipped_txid) return;
  const range = timeline.ranges[timeline.ranges.length - 1];
  if (range && timeline.tip && range.last === timeline.tip.txid) [range.last, range.to] = [db.shipped_txid, Math.max(range.to, time)];
  timeline.tip = { txid: db.shipped_txid, time };
  const last = timeline.anchors[timeline.anchors.length - 1];
  if (last && last.live) timeline.anchors.pop();
  timeline.anchors.push({ ...timeline.tip, live: true });
}

/** The timelines that lead to `number`, oldest first, each with the last txid and moment that counts there. */
export function legsOf(history, number) {
  const legs = [];
  let untilTxid = Infinity, untilTime = Infinity;
  for (let timeline = history.byNumber.get(number); timeline; timeline = history.byNumber.get(timeline.parent)) {
    legs.unshift({ timeline, untilTxid, untilTime });
    if (legs.length > history.timelines.length) break; // a damaged history may go round in circles
    untilTxid = Math.min(untilTxid, timeline.forkTxid);
    const parent = history.byNumber.get(timeline.parent);
    untilTime = parent ? timeOf(parent, untilTxid) : untilTime;
  }
  return legs;
}

/** What can be restored on the way to timeline `number`, ascending: {timeline, first, last, from, to}. */
export function rangesOf(history, number) {
  return legsOf(history, number).flatMap(({ timeline, untilTxid, untilTime }) => timeline.ranges.filter((one) => one.first <= untilTxid)
    .map((one) => (one.last > untilTxid ? { ...one, timeline, last: untilTxid, to: untilTime } : { ...one, timeline })));
}

/** The earliest moment that leads to a state, or null. */
export function earliest(history, number) {
  const [first] = rangesOf(history, number);
  return first ? first.from : null;
}

function isTold(history, number) {
  return legsOf(history, number).every((leg) => leg.timeline.told);
}

/** What a moment on the way to timeline `number` gives. */
export function stateAt(history, number, time) {
  const ranges = rangesOf(history, number), last = history.byNumber.get(number);
  if (!isTold(history, number)) return { kind: "untold" };
  if (ranges.length === 0) return { kind: "none" };
  if (time < ranges[0].from) return { kind: "before", first: ranges[0].from };
  const i = ranges.findLastIndex((one) => one.from <= time), range = ranges[i], next = ranges[i + 1];
  if (last.tip && time >= last.tip.time && range.last === last.tip.txid) return { kind: "tip", txid: last.tip.txid, time: last.tip.time };
  if (time <= range.to || (next && next.first === range.last + 1)) return { kind: "exact", about: Math.min(range.last, aboutTxid(range.timeline, time)) };
  return { kind: "kept", txid: range.last, time: range.to };
}

function aboutTxid({ anchors }, time) {
  const i = anchors.findIndex((one) => one.time > time);
  if (i <= 0) return anchors[i === 0 ? 0 : anchors.length - 1].txid;
  const a = anchors[i - 1], b = anchors[i];
  return Math.floor(a.txid + ((b.txid - a.txid) * (time - a.time)) / (b.time - a.time));
}

/** Can this commit number be restored on the way to timeline `number`? "" or what is wrong. */
export function txidProblem(history, number, txid) {
  const last = history.byNumber.get(number), ranges = rangesOf(history, number);
  if (last && last.tip && txid > last.tip.txid) return `The last commit is ${last.tip.txid}.`;
  if (!isTold(history, number) || ranges.some((one) => one.first <= txid && txid <= one.last)) return "";
  const near = [ranges.findLast((one) => one.last < txid)?.last, ranges.find((one) => one.first > txid)?.first].filter((one) => one !== undefined);
  return near.length ? `This commit is not kept. The nearest that can be restored: ${near.join(" and ")}.` : "Nothing can be restored on this timeline yet.";
}
