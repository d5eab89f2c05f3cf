#!/usr/bin/env bash
# All tests that run on real servers: the conformance of the stores, the model, transaction and
# kill tests of the engine, an example, and both engines on one bucket.
#   scripts/emulators/suites.sh [s3] [gcs] [azure]
# Servers and wheel are installed under .cache once. Each step has a new server; the clouds go
# side by side, since most of a step is waiting. A failed step does not end the run, but fails it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ $# -gt 0 ] || set -- s3 gcs azure

pids=()
for name in "$@"; do
  scripts/emulators/start-"$name".sh --install & pids+=($!)
done
SLATEDB_PY=$(scripts/pyvenv.sh)
export SLATEDB_PY
for pid in "${pids[@]}"; do wait "$pid"; done
echo "everything is installed after $SECONDS s"

# Compiled once: three compilers side by side would do it thrice.
go test -count=1 -run '^$' -tags emulators . >/dev/null
go test -count=1 -run '^$' -tags interop,emulators ./internal/interop >/dev/null

suites() { # SERVER: all steps of one; fails when one of them did
  local name=$1 ok=0
  on() { scripts/timed.sh "$name, $1" scripts/with-emulators.sh "$name" -- "${@:2}" || ok=1; }
  on "store" go test -count=1 -timeout 8m "./objstore/$name"
  on "engine" go test -count=1 -timeout 8m -tags emulators -run '^(TestModel|TestTxnModel|TestKill|TestDistributedCompaction)$' .
  on "example" bash -c 'go run ./examples/cloud "$SLATEDB_TEST_URL"'
  on "both engines" go test -count=1 -timeout 8m -tags interop,emulators ./internal/interop
  return $ok
}

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
pids=()
# Each has a process group of its own, so that all of it hears of an end from outside and the
# servers, which are in none of them, are stopped by those who started them.
trap 'for pid in "${pids[@]}"; do kill -TERM -- "-$pid" 2>/dev/null || true; done; wait; exit 143' INT TERM
set -m
for name in "$@"; do
  suites "$name" >"$logs/$name" 2>&1 </dev/null & pids+=($!)
done
set +m
failed=()
for name in "$@"; do
  wait "${pids[0]}" || failed+=("$name")
  pids=("${pids[@]:1}")
  cat "$logs/$name"
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "failed on: ${failed[*]}"
  exit 1
fi
