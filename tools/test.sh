#!/bin/sh
# Runs every test of the workspace and of the plugins, then lists what failed or was skipped, and why.
#
# A test that lacks an optional tool prints one line, `SKIP name: reason`, and passes. With
# HEADCOUNT_NO_SKIP=1 a skip is a failure. HEADCOUNT_RUNNER=cargo forces plain `cargo test`.
set -u

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
log=$target/test.log
mkdir -p "$target"
: >"$log"
status=0

# Runs a command, shows and keeps its output, and remembers its failure (sh has no pipefail).
logged() {
    { "$@" 2>&1 || echo "test command failed: $*"; } | tee -a "$log"
}

if [ "${HEADCOUNT_RUNNER:-nextest}" = nextest ] && cargo nextest --version >/dev/null 2>&1; then
    logged cargo nextest run --workspace --no-fail-fast --status-level slow --success-output final "$@"
else
    logged cargo test --workspace --no-fail-fast "$@" -- --show-output
fi
logged cargo test --manifest-path plugins/Cargo.toml --target-dir plugins/target --no-fail-fast -- --show-output

if grep -q '^test command failed: ' "$log"; then
    status=1
    echo
    # The reasons once more, at the end: above them may be a thousand lines.
    grep -aE '^test .* FAILED$|^ +FAIL ' "$log" | sort -u
    grep -aA 8 'panicked at ' "$log" | cut -c 1-400 | head -n 120
fi
if grep -q '^ *SKIP ' "$log"; then
    echo
    grep '^ *SKIP ' "$log" | sed 's/^ *//' | sort -u
    if [ -n "${HEADCOUNT_NO_SKIP:-}" ]; then
        echo "error: a skipped test counts as failed here; the lines above say what is missing"
        status=1
    fi
fi
exit $status
