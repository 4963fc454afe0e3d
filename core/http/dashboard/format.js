// SPDX-License-Identifier: Apache-2.0
// Figures and times for people.

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const day = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

export function count(n) {
  return number.format(n);
}

export function plural(n, one, many = one + "s") {
  return `${count(n)} ${n === 1 ? one : many}`;
}

function digits(n) {
  return n >= 100 || Number.isInteger(n) ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2).replace(/0$/, "");
}

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  for (; n >= 1024 && unit < units.length - 1; unit++) n /= 1024;
  return `${digits(n)} ${units[unit]}`;
}

export function rate(n) {
  return n > 0 && n < 0.01 ? "<0.01" : digits(n);
}

/** 0.4 s, 12 s, 3 min 20 s, 5 h 12 min, 3 days */
export function duration(ms) {
  const s = ms / 1000;
  if (s < 10) return `${(Math.round(s * 10) / 10).toString()} s`;
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return two(s, 60, "min", "s", 600);
  if (s < 2 * 86400) return two(s, 3600, "h", "min", 86400, 60);
  return s < 10 * 86400 ? two(s, 86400, "d", "h", 8 * 86400, 3600) : `${count(Math.floor(s / 86400))} days`;
}

function two(s, large, name, small, limit, unit = 1) {
  const whole = Math.floor(s / large), rest = Math.floor((s % large) / unit);
  return rest > 0 && s < limit ? `${whole} ${name} ${rest} ${small}` : `${whole} ${name}`;
}

/** A moment in this browser's time zone; the date only when it is not today. */
export function moment(ms, now = Date.now()) {
  const at = new Date(ms);
  return at.toDateString() === new Date(now).toDateString() ? clock.format(at) : `${day.format(at)}, ${clock.format(at)}`;
}

export function ago(ms, now) {
  const passed = Math.max(0, now - ms);
  return passed < 1500 ? "just now" : `${duration(passed)} ago`;
}

/** What weir's command line takes: 2026-11-21T14:05:00Z, with milliseconds when there are some. */
export function utc(ms) {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}

export function zone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";
}

export function parse(text) {
  const ms = text ? Date.parse(text) : NaN;
  return Number.isNaN(ms) ? null : ms;
}

export function baseName(path) {
  return path.slice(path.lastIndexOf("/") + 1) || path;
}

export function folder(path) {
  const end = path.lastIndexOf("/");
  return end > 0 ? path.slice(0, end + 1) : "";
}

const UNITS = { s: 1000, sec: 1000, second: 1000, m: 60000, min: 60000, minute: 60000, h: 3600000, hour: 3600000, d: 86400000, day: 86400000, w: 604800000, week: 604800000 };

/**
 * A time that somebody typed: "10 min ago", "14:05", "14:05:07.250", "yesterday 14:05", "2026-11-21 14:05" in this
 * browser's zone, or RFC 3339 with its own. null: not understood.
 */
export function typedTime(text, now) {
  text = text.trim().toLowerCase();
  const past = /^(\d+(?:\.\d+)?)\s*([a-z]+?)s?(\s+ago)?$/.exec(text);
  if (past && UNITS[past[2]]) return Math.round(now - Number(past[1]) * UNITS[past[2]]);
  if (text === "now") return now;
  const today = /^(today\s+|yesterday\s+)?(\d{1,2}):(\d{2})(?::(\d{2})(\.\d{1,3})?)?$/.exec(text);
  if (today) {
    if (Number(today[2]) > 23 || Number(today[3]) > 59 || Number(today[4] || 0) > 59) return null;
    const at = new Date(now);
    at.setHours(Number(today[2]), Number(today[3]), Number(today[4] || 0), Math.round(Number(today[5] || 0) * 1000));
    if ((today[1] || "").startsWith("yesterday") || (!today[1] && at.getTime() > now)) at.setDate(at.getDate() - 1);
    return at.getTime();
  }
  if (!/^\d{4}-\d{2}-\d{2}([t ]\d{1,2}:\d{2}(:\d{2}(\.\d{1,9})?)?( ?(z|[+-]\d{2}:?\d{2}))?)?$/.test(text)) return null;
  const iso = text.toUpperCase().replace(/^(\S+) /, "$1T").replace(" ", "").replace(/T(\d):/, "T0$1:");
  return parse(iso.length === 10 ? `${iso}T00:00` : iso);
}
