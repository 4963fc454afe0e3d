#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every extern symbol of foo.c starts with foo_: the file name is the module name.  $1 is the build folder.
#
# Few modules have a prefix of their own beside it: short words that are read all day.
set -eu
build=$1
objects=$(find "$build/core" "$build/wal" "$build/snapshot" "$build/s3" "$build/tests/libsupport.a.p" \
  -path '*.a.p/*.c.o' | LC_ALL=C sort)
[ -n "$objects" ] || {
  echo "no objects in $build"
  exit 1
}
bad=$(for object in $objects; do
  module=$(basename "$object" .c.o)
  module=${module#support_}
  case $module in
  alloc) also=mem_ ;;
  span) also=cursor_ ;;
  pos) also=nonce_ ;;
  *) also=${module}_ ;;
  esac
  # Weak and compiler-made symbols (sanitizers) are nobody's.
  nm --defined-only --extern-only "$object" | awk -v m="$module" -v also="$also" \
    '$2 ~ /^[TDBRC]$/ && $3 !~ /^__/ && index($3, m "_") != 1 && index($3, also) != 1 {
      print m ".c: " $3 " does not start with " m "_" }'
done)
[ -z "$bad" ] || {
  echo "$bad"
  exit 1
}
