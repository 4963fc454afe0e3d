#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Build the Debian package of this source: build.sh FOLDER puts it there.  The version is that of meson.build; the date is
# SOURCE_DATE_EPOCH, or that of the last commit, so that two builds of one source are the same.
#
# WEIR_PACKAGE_TREE=FOLDER keeps what was compiled in FOLDER: the next time only what changed is compiled.
set -eu
out=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "$(readlink -f "$0")")/../.."
version=$(sed -n "s/^  version: '\(.*\)',\$/\1/p" meson.build)
[ -n "$version" ] || {
  echo "build.sh: meson.build has no version" >&2
  exit 1
}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export SOURCE_DATE_EPOCH

# A copy, so that nothing of it stands in the source afterwards; without what builds have made.
if [ -n "${WEIR_PACKAGE_TREE:-}" ]; then
  work=$(mkdir -p "$WEIR_PACKAGE_TREE" && cd "$WEIR_PACKAGE_TREE" && pwd)
  source=$work/weir-$version
  # Flags come from here; sources keep their times, so that ninja knows them again.
  recipe=$(cat tools/debian/rules tools/debian/control | sha256sum)
  [ "$(cat "$work/recipe" 2>/dev/null)" = "$recipe" ] || rm -rf "${work:?}"/*
  echo "$recipe" >"$work/recipe"
  mkdir -p "$source"
  find "$source" -mindepth 1 -maxdepth 1 ! -name 'obj-*' -exec rm -rf {} +
  clean=--no-pre-clean
else
  work=$(mktemp -d "$out/build-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  source=$work/weir-$version
  mkdir "$source"
  clean=--pre-clean
fi
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  git ls-files -z -co --exclude-standard | tar --null --files-from=- --ignore-failed-read -cf - | tar -xf - -C "$source"
else
  tar --exclude='./build*' -cf - . | tar -xf - -C "$source"
fi
cp -r tools/debian "$source/debian"
rm "$source/debian/build.sh" "$source/debian/check.py"
chmod 755 "$source/debian/rules"
cp tools/systemd/weir.sysusers "$source/debian/weir.sysusers"
cat >"$source/debian/changelog" <<TEXT
weir ($version) unstable; urgency=medium

  * What is new in this version is told in CHANGELOG.md.

 -- The weir developers <weir@localhost>  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
TEXT
(cd "$source" && dpkg-buildpackage "$clean" -b -us -uc -ui "-j$(nproc)")
mv "$work"/*.deb "$work"/*.changes "$work"/*.buildinfo "$out"
