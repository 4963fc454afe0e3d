#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# uPlot is the file that its authors published (npm: uplot 1.6.32), byte for byte, with its licence; and the dashboard
# names no other place to load anything from.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../../core/http/dashboard"
(cd uplot && sha256sum --quiet --strict -c - <<END
19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f  uPlot.iife.min.js
df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04  uPlot.min.css
8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd  LICENSE
END
)
# Names of XML are no addresses.
bad=$(grep -HnE "(https?:)?//[a-z0-9.-]+\.[a-z]{2,}|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|[[:space:]]on[a-z]+=\"|style=\"" \
  ./*.html ./*.js ./*.css ./*.svg | grep -v 'http://www\.w3\.org/2000/svg' || true)
[ -z "$bad" ] || {
  echo "an address, or markup made of text:"
  echo "$bad"
  exit 1
}
# Whoever adds a file adds its licence line.
for file in ./*.html ./*.js ./*.css ./*.svg; do
  head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2\.0' || {
    echo "$file: no licence line"
    exit 1
  }
done
