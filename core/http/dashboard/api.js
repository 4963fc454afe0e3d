// SPDX-License-Identifier: Apache-2.0
// Questions to the daemon that this page came from.

const TOKEN = "weir-token";

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let skew = 0; // the daemon's clock minus this browser's, ms

/** The daemon's time: its own times are told against it, whatever this browser's clock says. */
export function now() {
  return Date.now() + skew;
}

export function setToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

function learnTime(header) {
  const theirs = Date.parse(header || "");
  if (Number.isNaN(theirs)) return;
  const seen = theirs + 500 - Date.now(); // the header has whole seconds
  skew = Math.abs(seen) < 2000 ? 0 : seen;
}

/** The document at `page`, relative to this one, so that a proxy may put everything below a folder. */
export async function ask(page, query = {}, limitMs = 20000) {
  const url = new URL(page, document.baseURI);
  url.hash = "";
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  const token = sessionStorage.getItem(TOKEN);
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), limitMs);
  try {
    const answer = await fetch(url, {
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      cache: "no-store", credentials: "same-origin", signal: abort.signal,
    });
    learnTime(answer.headers.get("Date"));
    if (!answer.ok) throw new Refused(answer.status, (await answer.json().catch(() => ({}))).error || answer.statusText);
    return await answer.json();
  } catch (error) {
    if (abort.signal.aborted) throw new Error(`no answer within ${limitMs / 1000} s`);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
