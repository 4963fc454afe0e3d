#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A source file past 500 lines asks to become two rooms.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
big=$("$here/sources.sh" '*.[ch]' core wal snapshot s3 tools | xargs wc -l |
  awk '$2 != "total" && $1 > 500 { print $2 ": " $1 " lines" }')
[ -z "$big" ] || {
  echo "over 500 lines:"
  echo "$big"
  exit 1
}
