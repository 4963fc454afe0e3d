#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Calls that must not be made, or only in the rooms that exist for them.  Members of a table (fs->open) are none.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
code=$(mktemp)
found=$(mktemp)
trap 'rm -f "$code" "$found"' EXIT
"$here/sources.sh" '*.[ch]' core wal snapshot s3 tools | python3 "$here/strip.py" >"$code"
[ -s "$code" ]

# deny WHY WORDS [FILES THAT MAY]
deny() {
  calls="(^|[^[:alnum:]_.>])($(echo "$2" | tr ' ' '|'))[[:space:]]*\\("
  may="^($(echo "${3:-none}" | tr ' ' '|')):"
  # The path and the line number stand before the second colon; what follows is code.
  grep -Ev "$may" "$code" | sed -E 's/^([^:]*:[0-9]+:)/\1 /' | grep -E "^[^:]*:[0-9]+:.*$calls" |
    sed "s|\$|    <- $1|" >>"$found" || true
}

deny 'no bound on what is written: snprintf, memcpy, struct buf' 'strcpy strcat sprintf vsprintf gets stpcpy'
deny 'keeps state between calls: strchr, strspn' 'strtok'
deny 'cannot tell an error from 0: strx' 'atoi atol atoll atof'
deny 'not strict enough: strx' 'strtol strtoul strtoll strtoull strtod sscanf' 'core/base/strx\.c'
deny 'not safe with threads: strx_format_time' 'gmtime localtime ctime asctime'
deny 'a shell' 'system popen'
deny 'not random: rng' 'rand srand random srandom'
deny 'memory: alloc, struct buf' 'malloc calloc realloc free' 'core/base/alloc\.c core/base/buf\.c'
deny 'files: struct fsys' \
  'open openat creat fopen close fclose fsync fdatasync rename renameat unlink unlinkat pwrite ftruncate truncate' \
  'core/base/fsys\.c wal/wal_conn\.c core/http/http_listen\.c core/http/http_server\.c core/work/file_watch\.c core/work/notify\.c'

[ ! -s "$found" ] || {
  cat "$found"
  exit 1
}
