#!/usr/bin/env bash
# A thousand kills at random moments (tests/it/e2e/kills), some six minutes. Usage: tests/kills.sh [KILLS [SEED]]
set -euo pipefail
cd "$(dirname "$0")/.."
export WATCHFIRE_KILLS=${1:-1000} WATCHFIRE_SEED=${2:-$(date +%s)}
echo "$WATCHFIRE_KILLS kills, seed $WATCHFIRE_SEED"
# The peers' programs are not needed, only the optimised build.
exec cargo test --profile e2e --features e2e --test it -- e2e::kills --nocapture
