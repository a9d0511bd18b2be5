#!/bin/sh
# Puts the prebuilt DuckDB library into target/duckdb, where .cargo/config.toml points the linker.
#
# It comes from the npm package of DuckDB's own Node.js bindings for this machine's system and
# processor. npm checks it against its registry's digest; where this project tried a package
# itself, the digest is pinned below as well. Nothing is done when the library is already there.
set -eu

version=1.5.6-r.1
folder=$(cd "$(dirname "$0")/.." && pwd)/target/duckdb

case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) platform=linux-x64 library=libduckdb.so ;;
    Linux-aarch64) platform=linux-arm64 library=libduckdb.so ;;
    Darwin-x86_64) platform=darwin-x64 library=libduckdb.dylib ;;
    Darwin-arm64) platform=darwin-arm64 library=libduckdb.dylib ;;
    *)
        echo "error: no prebuilt DuckDB is known for $(uname -s) on $(uname -m)" >&2
        echo "hint: put a libduckdb $version into $folder, or build with --features bundled" >&2
        exit 2
        ;;
esac

case $platform in
    linux-x64) pinned="sha512-IXcrZJE6kEqM0Z4wwdVnGBHX/frOS33VPNAwDXQ/Q+Fs84b058Qe94chrCCIcNJlG8Y3UHIUU4eBeCQxW5mN1Q==" ;;
    *) pinned= ;;
esac

package=@duckdb/node-bindings-$platform@$version
[ -f "$folder/$library" ] && [ "$(cat "$folder/package" 2>/dev/null)" = "$package" ] && exit 0

command -v npm >/dev/null || {
    echo "error: npm is needed to fetch the DuckDB library" >&2
    echo "hint: install Node.js 20 or later" >&2
    exit 2
}

echo "fetching $package (about 25 MB)"
mkdir -p "$folder"
parcel=$(mktemp -d "$folder/parcel.XXXXXX")
trap 'rm -rf "$parcel"' EXIT
npm pack --silent --pack-destination "$parcel" "$package" >/dev/null
mv "$parcel"/*.tgz "$parcel/parcel.tgz"

digest=$(node -e '
    const bytes = require("fs").readFileSync(process.argv[1]);
    console.log("sha512-" + require("crypto").createHash("sha512").update(bytes).digest("base64"));
' "$parcel/parcel.tgz")
if [ -n "$pinned" ] && [ "$digest" != "$pinned" ]; then
    echo "error: $package has digest $digest, expected $pinned" >&2
    exit 1
fi

tar -xzf "$parcel/parcel.tgz" -C "$parcel"
# A rename, so that a program running from the old library keeps it.
mv "$parcel/package/$library" "$folder/$library"
printf '%s\n' "$package" >"$folder/package"
