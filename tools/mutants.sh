#!/usr/bin/env bash
# Switches each check of prover, aggregator, tracker and audit off in turn and runs the tests that must
# notice. A mutant that survives is a check that nothing shows. Works on a copy below target/.
# usage: mutants.sh [NAME...]
set -euo pipefail

cd "$(dirname "$0")/.."
root=$PWD
place=$root/target/mutants
wanted=("$@")
survived=()
mkdir -p "$place"

fresh_copy() {
    rm -rf "$place/tree"
    mkdir -p "$place/tree"
    tar -cf - .cargo Cargo.toml Cargo.lock rust-toolchain.toml core cli tests/Cargo.toml tests/src \
        tests/tests tests/bench fixtures | tar -C "$place/tree" -xf -
}

# mutant NAME CRATE FILE FROM TO: replaces the one place where FROM stands in FILE of the crate.
mutant() {
    local name=$1 crate=$2 file=core/$2/$3 from=$4 to=$5
    if [ ${#wanted[@]} -gt 0 ] && [[ " ${wanted[*]} " != *" $name "* ]]; then return; fi
    fresh_copy
    FROM=$from TO=$to node -e '
        const fs = require("fs"), file = process.argv[1], { FROM, TO } = process.env;
        const parts = fs.readFileSync(file, "utf8").split(FROM);
        if (parts.length !== 2) {
            console.error(`error: ${file} has ${parts.length - 1} places, not one: ${FROM}`);
            process.exit(2);
        }
        fs.writeFileSync(file, parts.join(TO));
    ' "$place/tree/$file"
    if (cd "$place/tree" && CARGO_TARGET_DIR=$place/build DUCKDB_LIB_DIR=$root/target/duckdb \
        cargo test -p "headcount-$crate" --no-fail-fast >"$place/$name.log" 2>&1); then
        survived+=("$name")
        echo "SURVIVED $name"
    elif ! grep -q '^test .* FAILED$' "$place/$name.log"; then
        echo "error: mutant $name could not be tested, see $place/$name.log" >&2
        exit 2
    else
        echo "caught $name by $(grep -c '^test .* FAILED$' "$place/$name.log") tests, for example" \
            "$(grep -m1 '^test .* FAILED$' "$place/$name.log" | cut -d' ' -f2)"
    fi
}

mutant bloom proof src/judge.rs \
    'if !self.bits.admit(&header.logs_bloom) {' \
    'if !self.bits.admit(&header.logs_bloom) || self.rows.of(i).is_empty() {'
mutant root proof src/receipts.rs \
    'Ok(root) if root == header.receipts_root =>' \
    'Ok(root) if root == header.receipts_root || !receipts.is_empty() =>'
mutant receipt-count proof src/receipts.rs 'if have != want {' 'if have > want {'
mutant header-hash proof src/judge.rs 'if hash != block.hash {' 'if hash != hash {'
mutant parent-link proof src/judge.rs \
    'if parent.is_some_and(|parent| parent != pair[0].hash) {' \
    'if parent.is_some_and(|parent| parent == alloy_primitives::B256::ZERO) {'
mutant admission aggregator src/admission.rs \
    'content == Content::Receipts || nodes >= usize::from(needed)' \
    'content == Content::Receipts || nodes >= usize::from(needed).min(1)'
mutant by-hash-re-ask tracker src/chunk.rs \
    'State::Reading if due.iter().any(|index| by_hash(*index)) => State::ByHash,' \
    'State::Reading if unread.is_some() => State::ByHash,'
mutant audit-difference audit src/window/truth.rs \
    '|| !self.differences(number, truth).is_empty())' \
    ')'
mutant audit-trust audit src/window.rs \
    'if !self.settings.trusted.contains(&report.node) {' \
    'if false {'
mutant audit-parts audit src/parts.rs \
    'cover(&left, parts) && cover(&right, parts)' \
    'cover(&left, parts) || cover(&right, parts)'
mutant audit-links audit src/links.rs \
    'before.hash != parent' \
    'before.hash == B256::ZERO'

if [ ${#survived[@]} -gt 0 ]; then
    echo "error: nothing noticed: ${survived[*]}"
    exit 1
fi
