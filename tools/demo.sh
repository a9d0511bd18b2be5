#!/bin/sh
# The README's first command, after the build: replays a recording of a real node into a fresh
# ledger with the balances plugin, then asks the ledger who holds what.
set -eu

cd "$(dirname "$0")/.."
# So that the lines shown are the lines a user would type.
program=${HEADCOUNT_BIN:-target/debug/headcount}
PATH=$(cd "$(dirname "$program")" && pwd):$PATH
plugin=${HEADCOUNT_PLUGIN:-plugins/target/wasm32-wasip2/release/erc20_balances.wasm}
ledger=${HEADCOUNT_DEMO:-target/demo}/headcount.duckdb

rm -rf "$(dirname "$ledger")"
mkdir -p "$(dirname "$ledger")"

# Shows a command, with quotes where a shell needs them, and runs it.
say() {
    printf '\n$'
    for word; do
        case $word in
            *[!A-Za-z0-9_./:=@,-]*) printf " '%s'" "$word" ;;
            *) printf ' %s' "$word" ;;
        esac
    done
    printf '\n'
    "$@"
}

say headcount replay -r fixtures/erc20.ndjson.gz \
    -c gold=0x5FbDB2315678afecb367f032d93F642f64180aa3 \
    -c silver=0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512 \
    -e "Transfer(address indexed from, address indexed to, uint256 value)" \
    -b 0:60 --verify prove --ledger "$ledger" --plugin "$plugin"

say headcount query --ledger "$ledger" --format table \
    'select token, holder, balance from erc20_balances.balances order by token, balance desc'

printf '\nThe program is %s, its ledger %s. Next: "Your own node" in README.md.\n' "$program" "$ledger" >&2
