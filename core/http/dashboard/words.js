// SPDX-License-Identifier: Apache-2.0
// What a status means, in plain words. Nothing is "good" while anything fails, and a state that this page does not know
// is never good.

import { bytes, count, duration, moment, parse, plural } from "./format.js";

const LATE_MS = 60 * 1000;

const STATES = {
  replicating: ["good", "Replicating", "Every commit is on its way to the replica or already there."],
  parked: ["good", "Quiet", "Everything is in the replica, and nothing is being written; the next commit wakes it."],
  waiting: ["warn", "Waiting for the file", "There is no database file yet, so there is nothing to protect."],
  starting: ["warn", "Starting", "The position in the history is being established; commits wait in the log meanwhile."],
  restarting: ["warn", "Restarting", "weir attaches to the database anew."],
  stopping: ["warn", "Stopping", "What is left is being shipped."],
  retrying: ["bad", "Cannot start", "The start failed and will be tried again."],
  behind: ["bad", "Behind", "Uploads fail. Commits wait in the log and nothing is lost, but new ones are not in the replica."],
  spooling: ["bad", "Spooling", "The replica does not take everything: commits are kept on the local disk only."],
  gap: ["bad", "Exact history stopped", "Log and spool were full. What is committed now will be one state later, not single commits."],
  fenced: ["bad", "Fenced", "Another writer owns this history. Nothing from here reaches the replica any more."],
  failed: ["bad", "Failed", "Replication has ended with an error that a person must mend; weir tries again now and then."],
  stopped: ["bad", "Stopped", "This database is not replicated any more."],
};

// What went wrong, by its code: what it means and what to do first.
const CAUSES = {
  E_DENIED: "The replica or a file refuses access: look at credentials and permissions.",
  E_NETWORK: "The replica cannot be reached: look at network, name and address.",
  E_TIMEOUT: "The replica does not answer in time.",
  E_THROTTLED: "The replica asks to be left alone for a while: too many requests.",
  E_SERVER: "The replica answers with errors of its own.",
  E_NOSPACE: "A disk is full.",
  E_IO: "Reading or writing failed: look at disk, mount and permissions.",
  E_CORRUPT: "Something that was read is damaged. Keep the replica as it is and run weir verify.",
  E_FENCED: "Another process took this history over. If that was intended, stop this one.",
  E_CONFIG: "The configuration cannot be carried out as it is.",
  E_NOTFOUND: "Something that must be there is missing.",
  E_BUSY: "Somebody holds a lock that weir needs.",
  E_UNSUPPORTED: "The replica or the database cannot do what is asked of it.",
  E_EXISTS: "Something is there already that should not be.",
  E_NOMEM: "There is not enough memory.",
};

export const LEVELS = ["good", "unknown", "warn", "bad"];

export function worse(a, b) {
  return LEVELS.indexOf(a) > LEVELS.indexOf(b) ? a : b;
}

export function stateName(state) {
  return STATES[state] ? STATES[state][1] : state;
}

const FOLLOWED = ["replicating", "parked", "behind", "spooling", "gap", "stopping"];

/** How far the replica is behind, in ms; null when nobody reads the log, so that nobody knows. */
export function lagOf(db) {
  return FOLLOWED.includes(db.state) && db.lag && db.shipped_txid ? db.lag.seconds * 1000 : null;
}

const UNITS = { ms: 1, s: 1000, m: 60000, h: 3600000, d: 86400000 };

/** Later than its settings allow: what waits on purpose (sync.interval) is not late. */
export function isLate(db) {
  const [, number, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(db.triggers ? db.triggers.interval : "") || [];
  const allowed = db.triggers && db.triggers.interval === "off" ? Infinity : unit ? number * UNITS[unit] : 0;
  return Boolean(db.lag) && db.lag.seconds * 1000 > LATE_MS + allowed;
}

/** The last trial restore, or null where this daemon makes none. */
export function proof(db) {
  const drill = db.drill;
  if (!drill) return null;
  return { time: parse(drill.verified_time), txid: drill.txid || null, failed: drill.result === "failed", error: drill.failure || null, trouble: drill.error || null, skipped: drill.skipped || null, overdue: drill.overdue === true };
}

/** {level, name, text, notes}: is this backup alive? */
export function judge(db) {
  const known = STATES[db.state] || ["warn", db.state, "This page does not know that state; the daemon may be newer."];
  const verdict = { level: known[0], name: known[1], text: known[2], cause: null, error: null, notes: [] };
  const lag = db.lag || { seconds: 0, commits: 0 };
  if (db.parked && db.state === "replicating") [, verdict.name, verdict.text] = STATES.parked;
  if (db.error) {
    verdict.level = "bad";
    if (known[0] === "good") Object.assign(verdict, { name: "Failing", text: "Something that belongs to the backup fails." });
    verdict.cause = CAUSES[db.error.code] || null;
    verdict.error = db.error;
  }
  if (verdict.level === "good" && db.triggers && db.triggers.interval === "off") {
    if (lag.commits > 0) verdict.text = `${lag.commits} ${lag.commits === 1 ? "commit waits" : "commits wait"} on this machine until asked for; nothing fails.`;
  } else if (verdict.level === "good" && isLate(db)) {
    verdict.level = "warn";
    verdict.name = "Catching up";
    verdict.text = `The replica is ${duration(lag.seconds * 1000)} behind; nothing fails.`;
  }
  if (verdict.level === "good" && db.ready === false) Object.assign(verdict, { level: "warn", name: "Needs attention", text: "The daemon says that something is wrong." });
  addNotes(db, verdict);
  for (const note of verdict.notes) if (note.level === "bad" || note.level === "warn") verdict.level = worse(verdict.level, note.level);
  if (verdict.notes.some((note) => note.level !== "info") && known[0] === "good" && !verdict.error && verdict.name === known[1]) {
    verdict.name = "Needs attention";
    verdict.text = "Commits are being shipped, but something beside that is wrong.";
  }
  return verdict;
}

function addNotes(db, verdict) {
  const proven = proof(db);
  if (proven && proven.failed)
    verdict.notes.push({ level: "bad", text: `The last trial restore failed${proven.error ? `: ${proven.error}` : "."}` });
  if (proven && proven.trouble && !proven.failed) verdict.notes.push({ level: "warn", text: `A trial restore could not be made: ${proven.trouble}` });
  if (proven && proven.overdue && !proven.failed && !proven.trouble && !proven.skipped)
    verdict.notes.push({ level: "warn", text: "No trial restore went well for two intervals." });
  if (db.scrub && db.scrub.damaged > 0)
    verdict.notes.push({ level: "bad", text: `${count(db.scrub.damaged)} ${db.scrub.damaged === 1 ? "page" : "pages"} of the live database ${db.scrub.damaged === 1 ? "is" : "are"} not what was committed${db.scrub.damaged_pages.length > 0 ? ` (page ${db.scrub.damaged_pages.slice(0, 10).join(", ")})` : ""}. The replica is not concerned: restore over the file.` });
  if (db.scrub && db.scrub.error) verdict.notes.push({ level: "warn", text: `The live database could not be looked through: ${db.scrub.error}` });
  if (proven && proven.skipped) verdict.notes.push({ level: "info", text: `No trial restore is made: ${proven.skipped}` });
  if (db.retention && db.retention.error)
    verdict.notes.push({ level: "warn", text: `Old history could not be pruned: ${db.retention.error}` });
  if (["ignored", "racy", "refused"].includes(db.fencing))
    verdict.notes.push({ level: "info", text: "This replica does not keep a second writer out by itself; weir looks for one every 30 s." });
  if (db.gap)
    verdict.notes.push({ level: "info", text: `Between ${moment(parse(db.gap.after_time) ?? 0)} and ${moment(parse(db.gap.time) ?? 0)} (txid ${count(db.gap.after_txid)} to ${count(db.gap.txid)}) single commits cannot be told apart.` });
  if (db.log && db.log.reset_obstacle)
    verdict.notes.push({ level: "info", text: `The log could not be started over the last time: ${db.log.reset_obstacle}` });
  if (db.spool && db.spool.bytes > 0)
    verdict.notes.push({ level: "info", text: `${bytes(db.spool.bytes)} of ${bytes(db.spool.limit_bytes)} wait on the local disk.` });
}

/** Of all databases: {level, title, text}. */
export function judgeAll({ databases, configuration, folders = [] }, verdicts) {
  const counts = { good: 0, warn: 0, bad: 0 };
  for (const verdict of verdicts) counts[verdict.level]++;
  const blind = folders.filter((folder) => folder.error);
  if (blind.length > 0 && counts.bad === 0)
    return { level: "bad", counts, title: blind.length === 1 ? "A folder cannot be searched for databases" : `${count(blind.length)} folders cannot be searched for databases`, text: `${blind[0].dir}: ${blind[0].error}` };
  if (databases.length === 0 && folders.length > 0)
    return { level: "warn", title: "No databases yet", text: `There is none in ${folders[0].dir}.`, counts };
  if (databases.length === 0)
    return { level: "warn", title: "No databases", text: "This daemon replicates nothing. Its configuration names no database.", counts };
  const all = plural(databases.length, "database");
  if (counts.bad > 0) {
    const first = databases[verdicts.findIndex((verdict) => verdict.level === "bad")];
    return {
      level: "bad", counts, title: databases.length === 1 ? "The backup is failing" : `${count(counts.bad)} of ${all} ${counts.bad === 1 ? "is" : "are"} failing`,
      text: `${first.path}${first.error ? `: ${first.error.message}` : ` is ${first.state}`}${counts.bad > 1 ? ` \u2013 and ${count(counts.bad - 1)} more` : ""}`,
    };
  }
  if (configuration && configuration.error)
    return { level: "warn", counts, title: "The last configuration could not be used", text: `The settings before it stay in force. ${configuration.error.message}` };
  if (counts.warn > 0)
    return { level: "warn", counts, title: `${count(counts.warn)} of ${all} ${counts.warn === 1 ? "needs" : "need"} attention`, text: "Nothing fails, but not everything is protected up to the last commit." };
  return { level: "good", counts, title: databases.length === 1 ? "The backup is alive" : `All ${all} are backed up`, text: "Commits are shipped as they are made, and nothing fails." };
}

/** At the pace since the daemon began, per month; null while that is too short a time to tell. */
export function perMonth(n, started, now) {
  const passed = started === null ? 0 : now - started;
  return passed < 3600000 ? null : Math.round((n * 30 * 86400000) / passed);
}

/** What the daemon says that a replica costs a month; null where nobody knows its prices. */
export function priceText(price) {
  if (!price) return null;
  const amount = (n) => `${n > 0 && n < 0.005 ? "less than 0.01" : n.toFixed(2)}${price.currency ? ` ${price.currency}` : ""}`;
  const known = (n) => n !== null && n !== undefined;
  const parts = [known(price.requests) ? `${amount(price.requests)} for requests` : "requests not known before an hour has passed", known(price.storage) ? `${amount(price.storage)} for storage` : "storage not known"];
  return `${known(price.total) ? `about ${amount(price.total)} a month: ` : "a month: "}${parts.join(", ")} (${price.source})`;
}

/** What a replica costs in requests, by price class, since the daemon opened it. */
export function requestClasses(databases) {
  const classes = { writes: 0, reads: 0, deletes: 0, failed: 0 };
  for (const db of databases) {
    for (const [kind, outcomes] of Object.entries(db.requests || {})) {
      const all = Object.values(outcomes).reduce((sum, n) => sum + n, 0);
      if (kind === "get" || kind === "head") classes.reads += all;
      else if (kind === "delete" || kind === "delete_many" || kind === "upload_abort") classes.deletes += all;
      else classes.writes += all; // LIST is billed like PUT
      for (const outcome of ["throttled", "denied", "network", "failed"]) classes.failed += outcomes[outcome] || 0;
    }
  }
  return classes;
}
