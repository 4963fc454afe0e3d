#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# demo.sh WEIR [URL] - lose a database in two ways and get it back; every step is checked, so this is a test as well.
# The replica is in a folder of its own, or at the URL, where nothing may be yet.
set -euo pipefail
weir=$(readlink -f "${1:?usage: demo.sh PATH-OF-WEIR [URL]}")
orders=1000
patience=3000 # tenths of a second, for what takes a moment: a disk may be slow, and each order is one fsync
folder=$(mktemp -d "${TMPDIR:-/tmp}/weir-demo-XXXXXX")
db=$folder/shop.db
replica=${2:-file://$folder/replica}
daemon=

cleanup() {
  exec 3>&- # the shop's connection
  if [ -n "$daemon" ]; then
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
  fi
  rm -rf "$folder"
}
trap cleanup EXIT

if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi
step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
say() { printf '   %s\n' "$*"; }
# What is typed, with the scratch folder's name left out so that it fits a line.
show() { printf '   $ %s\n' "${*//"$folder/"/}"; }
fail() {
  printf '\ndemo: %s\n' "$*" >&2
  [ ! -s "$folder/weir.log" ] || { echo "weir's log:" && tail -n 20 "$folder/weir.log"; } >&2
  exit 1
}
expect() { # WHAT WANTED GOT
  [ "$2" = "$3" ] || fail "$1: expected $2, got $3"
}
ask() { sqlite3 -cmd '.timeout 10000' "$@"; }
contents() { ask "$1" .dump | sha256sum; }

step "1. A shop keeps its orders in SQLite."
show sqlite3 shop.db
ask "$db" "PRAGMA journal_mode=WAL; CREATE TABLE orders(id INTEGER PRIMARY KEY, customer TEXT, cents INTEGER);" >/dev/null
mkfifo "$folder/shop"
ask "$db" <"$folder/shop" >"$folder/shop.log" 2>&1 & # the application: one process, one connection
shop=$!
exec 3>"$folder/shop"

case $replica in
  file:*) where="a folder" shown=file://replica ;;
  *) where="a bucket" shown=${replica%%\?*} ;; # without endpoint and region
esac
step "2. weir copies every commit to $where, while the shop writes."
show "weir replicate shop.db $shown"
"$weir" replicate --sync-interval 100ms "$db" "$replica" >"$folder/weir.log" 2>&1 3>&- &
daemon=$!
wait_for_sync() {
  local tries
  for ((tries = 0; tries < patience; tries++)); do
    "$weir" sync "$db" --wait >"$folder/txid" 2>"$folder/sync.log" && return
    kill -0 "$daemon" 2>/dev/null || fail "weir replicate ended"
    sleep 0.1
  done
  fail "weir sync --wait does not succeed: $(cat "$folder/sync.log")"
}
wait_for_sync
for ((i = 1; i <= orders; i++)); do
  printf "INSERT INTO orders(customer, cents) VALUES('customer %d', %d);\n" $((RANDOM % 500)) $((RANDOM % 9000 + 100)) >&3
  ((i % 50)) || sleep 0.1
done
for ((i = 0; i < patience; i++)); do
  [ "$(ask "$db" 'SELECT count(*) FROM orders')" != "$orders" ] || break
  sleep 0.1
done
expect "orders in the shop's database" "$orders" "$(ask "$db" 'SELECT count(*) FROM orders')"
wait_for_sync
before=$(contents "$db")
say "$orders orders, each one a commit of its own, all shipped: txid $(cat "$folder/txid")"

step "3. Somebody forgets the WHERE."
show "sqlite3 shop.db 'DELETE FROM orders'"
ask "$db" 'DELETE FROM orders'
for i in 1 2 3 4 5; do
  printf "INSERT INTO orders(customer, cents) VALUES('late customer %d', 100);\n" "$i" >&3
done
exec 3>&- # the shop closes its connection and ends
wait "$shop" || fail "the shop's writer failed: $(cat "$folder/shop.log")"
expect "orders left after the accident" 5 "$(ask "$db" 'SELECT count(*) FROM orders')"
after=$(contents "$db")
say "$orders orders are gone; the shop, unaware, has taken 5 new ones"

step "4. And then the disk goes bad."
wait_for_sync
kill -TERM "$daemon"
wait "$daemon" || fail "weir replicate ended with status $?"
daemon=
size=$(stat -c %s "$db")
rm -f "$db-wal" "$db-shm"
head -c "$size" /dev/urandom >"$db"
show "sqlite3 shop.db 'SELECT count(*) FROM orders'"
if message=$(ask "$db" 'SELECT count(*) FROM orders' 2>&1); then fail "the wrecked file still opens"; fi
say "$message"

step "5. What happened, and when?  The replica knows every commit."
show "weir log $shown"
"$weir" log "$replica" >"$folder/log" || fail "weir log"
head -n 1 "$folder/log" | sed 's/^/   /'
say ...
tail -n 8 "$folder/log" | sed 's/^/   /'
# The accident is the commit that changed the most pages, the first one (the whole database) aside.
"$weir" log "$replica" --json >"$folder/log.json"
accident=$(python3 - "$folder/log.json" <<'PYTHON'
import json, sys
commits = [json.loads(line) for line in open(sys.argv[1])]
print(max(commits[1:], key=lambda c: c["pages"])["txid"])
PYTHON
)
good=$((accident - 1))
say "txid $accident changed by far the most pages: that is the DELETE.  $good was the last good one."

step "6. Back to the moment before."
show "weir restore $shown --txid $good -o restored.db"
"$weir" restore "$replica" --txid "$good" -o "$folder/restored.db" >"$folder/restore.log" 2>&1 ||
  fail "weir restore: $(cat "$folder/restore.log")"
expect "orders in the restored database" "$orders" "$(ask "$folder/restored.db" 'SELECT count(*) FROM orders')"
expect integrity_check ok "$(ask "$folder/restored.db" 'PRAGMA integrity_check')"
expect "contents of the restored database" "$before" "$(contents "$folder/restored.db")"
say "$orders orders, integrity_check: ok, every row as it was"

step "7. Nothing else is lost either: the newest state, with the 5 late orders."
show "weir restore $shown -o newest.db"
"$weir" restore "$replica" -o "$folder/newest.db" >"$folder/restore.log" 2>&1 ||
  fail "weir restore: $(cat "$folder/restore.log")"
expect integrity_check ok "$(ask "$folder/newest.db" 'PRAGMA integrity_check')"
expect "contents of the newest state" "$after" "$(contents "$folder/newest.db")"
say "5 orders, integrity_check: ok"

step "Done in $SECONDS seconds."
