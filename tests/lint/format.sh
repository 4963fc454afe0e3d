#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Formatting is a test.  Skips (77) where clang-format 14 is missing: other versions format differently.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
format=$(command -v clang-format-14 || command -v clang-format || true)
case $([ -z "$format" ] || "$format" --version) in
*"version 14."*) ;;
*) exit 77 ;;
esac
bad=$("$here/sources.sh" '*.[ch]' core wal snapshot s3 tools tests | while read -r file; do
  "$format" --style=file --dry-run -Werror "$file" 2>/dev/null || echo "$file"
done)
[ -z "$bad" ] || {
  echo "clang-format-14 -i these:"
  echo "$bad"
  exit 1
}
