#!/bin/sh
# Builds the plugins in JavaScript and Python, each in a folder as `headcount plugin new` makes it, with its
# own sources over the example's, and runs their tests. Installs componentize-js and componentize-py into
# those folders, once.
set -eu

cd "$(dirname "$0")/.."
folder=plugins/target/scripts
# Compiled for this machine once, also for the tests.
HEADCOUNT_CACHE=$PWD/plugins/target/compiled
export HEADCOUNT_CACHE

# Writes the folder anew, but for what was installed and built in it.
renew() {
    new=$folder/.new
    rm -rf "$new"
    "$HEADCOUNT_BIN" plugin new "$1" --lang "$2" --dir "$new" >/dev/null 2>&1
    rm -f "$new/plugin.test.js" "$new/test_plugin.py"
    cp plugins/"$1"/* "$new"
    mkdir -p "$folder/$1"
    find "$folder/$1" -mindepth 1 -maxdepth 1 ! -name node_modules ! -name .venv ! -name build \
        -exec rm -rf {} +
    cp -R "$new"/. "$folder/$1"
    rm -rf "$new"
}

# Tests of a plugin, of the SDK with them, and its component: from its name.
javascript() {
    renew "$1" js
    cp plugins/sdk-tests/sdk.test.js "$folder/$1"
    share node_modules "$1"
    (cd "$folder/$1" && node --test >test.log 2>&1 || { cat test.log; exit 1; })
    rm "$folder/$1/sdk.test.js"
    "$HEADCOUNT_BIN" plugin build "$folder/$1"
}

python() {
    renew "$1" python
    cp plugins/sdk-tests/test_sdk.py "$folder/$1"
    share .venv "$1"
    (cd "$folder/$1" && python3 -m unittest -q)
    rm "$folder/$1/test_sdk.py"
    "$HEADCOUNT_BIN" plugin build "$folder/$1"
}

# What one folder installed serves the next one too.
share() {
    others=$(find "$folder" -mindepth 2 -maxdepth 2 -name "$1" -type d | head -n 1)
    [ -z "$others" ] || [ -e "$folder/$2/$1" ] || ln -s "$PWD/$others" "$folder/$2/$1"
}

javascript large-transfers
python daily-volume
# For tests of the host.
javascript unruly-js
python unruly-python
