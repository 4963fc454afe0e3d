#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tools -> the rooms of core -> {wal, snapshot, s3} -> core/base: who may include what, and who may log.  The build holds
# most of it, by its include paths; this says it in words, and sees what a path cannot (a "../wal/x.h", a library of
# another layer).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
found=$(mktemp)
trap 'rm -f "$found"' EXIT

# check FOLDER 'FOLDERS IT SEES' 'LIBRARIES IT MUST NOT SEE'
check() {
  for file in "$1"/*.[ch]; do
    [ -e "$file" ] || continue
    sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"([^"]*)".*/\1/p' "$file" | while read -r header; do
      seen=no
      for folder in $2; do
        [ ! -e "$folder/$header" ] || seen=yes
      done
      case $header in */*) seen=no ;; esac
      [ $seen = yes ] || echo "$file: \"$header\" is not in $2"
    done
    for library in $3; do
      ! grep -Eq "^[[:space:]]*#[[:space:]]*include[[:space:]]*<$library" "$file" ||
        echo "$file: <$library...> belongs to another layer"
    done
  done >>"$found"
}

check core/base 'core/base' 'uv curl sqlite3 jansson expat microhttpd'
check wal 'wal core/base' 'uv curl jansson expat microhttpd'
check snapshot 'snapshot core/base' 'uv curl jansson expat microhttpd'
check s3 's3 core/base' 'sqlite3 microhttpd'
below='wal snapshot s3 core/base'
check core/work 'core/work s3 core/base' 'sqlite3 curl expat microhttpd'
check core/local 'core/local core/base' 'uv sqlite3 curl jansson expat microhttpd'
check core/replica "core/replica core/work $below" 'sqlite3 curl expat microhttpd'
check core/restore "core/restore core/replica core/local core/work $below" 'curl expat microhttpd'
for room in retention verify tables follow plain; do
  check core/$room "core/$room core/restore core/replica core/local core/work $below" 'curl expat microhttpd'
done
check core/db "core/db core/plain core/retention core/restore core/replica core/local core/work $below" 'curl expat microhttpd'
check core/config "core/config core/db core/retention core/local s3 core/base" 'sqlite3 curl expat microhttpd'
check core/check "core/check core/config core/db core/replica core/local core/work $below" 'curl expat microhttpd'
check core/http 'core/http core/base' 'sqlite3 curl jansson expat'
rooms=$(for room in core/*/; do printf '%s ' "${room%/}"; done)
check core/daemon "${rooms}$below" 'sqlite3 curl expat'
check tools "tools ${rooms}$below" 'expat microhttpd'

"$here/sources.sh" '*.[ch]' core/base wal snapshot s3 | grep -v '^core/base/slog\.[ch]$' |
  python3 "$here/strip.py" | grep -E '[^[:alnum:]_](LOG_[A-Z]+|slog_[a-z]+)[[:space:]]*\(' |
  sed 's/$/    <- return the error, core logs it/' >>"$found" || true

[ ! -s "$found" ] || {
  cat "$found"
  exit 1
}
