#!/bin/sh
# Copies the built program and its DuckDB library below PREFIX (and DESTDIR, for packagers).
# usage: install.sh PROGRAM LIBRARY_FOLDER PREFIX
set -eu

program=$1 libraries=$2 prefix=${DESTDIR:-}$3
install -d "$prefix/bin" "$prefix/lib/headcount"
install -m 755 "$program" "$prefix/bin/headcount"
# A debug build also looks in the folder it was built in; an installed one should not.
! command -v patchelf >/dev/null ||
    patchelf --set-rpath '$ORIGIN/../lib/headcount' "$prefix/bin/headcount"
for library in "$libraries"/libduckdb.*; do
    install -m 644 "$library" "$prefix/lib/headcount/"
done
echo "installed $prefix/bin/headcount"
