#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every source file names its licence: C files in their first line, scripts in their first three.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
bad=$(
  "$here/sources.sh" '*.[ch]' core wal snapshot s3 tools tests | while read -r file; do
    [ "$(head -n 1 "$file")" = '/* SPDX-License-Identifier: Apache-2.0 */' ] || echo "$file"
  done
  for kind in '*.sh' '*.py'; do
    "$here/sources.sh" "$kind" core wal snapshot s3 tools tests | while read -r file; do
      head -n 3 "$file" | grep -q '^# SPDX-License-Identifier: Apache-2\.0$' || echo "$file"
    done
  done
)
[ -z "$bad" ] || {
  echo "no licence line:"
  echo "$bad"
  exit 1
}
