#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# List the files below the folders $2... whose name matches the pattern $1.  What a build made is not ours: any folder
# that meson has set up is left out, wherever it is.
set -eu
cd "$(dirname "$0")/../.."
pattern=$1
shift
for folder in "$@"; do
  [ ! -d "$folder" ] || find "$folder" -type d -exec test -e '{}/meson-private' ';' -prune -o \
    -type d -name __pycache__ -prune -o -type f -name "$pattern" -print
done | LC_ALL=C sort
