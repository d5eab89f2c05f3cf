#!/usr/bin/env bash
# Runs every Fuzz function of the module for FUZZTIME (default 30s) each, one after another:
#   scripts/fuzz.sh [PACKAGE...]      e.g. FUZZTIME=5m scripts/fuzz.sh ./sst
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
FUZZTIME=${FUZZTIME:-30s}

if [ $# -eq 0 ]; then
  # Folders with a fuzz function, without modules nested in this one.
  mapfile -t dirs < <(grep -rlE --include='*_test.go' '^func Fuzz[A-Z]' . | grep -v '^./internal/bench/' | xargs -r -n1 dirname | sort -u)
  set -- "${dirs[@]}"
fi
if [ $# -eq 0 ] || [ -z "$1" ]; then echo "no fuzz functions"; exit 1; fi

failed=0 ran=0
for dir in "$@"; do
  for name in $(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go | sed 's/^func //'); do
    ran=$((ran + 1))
    echo "== $dir $name ($FUZZTIME)"
    if ! go test -run '^$' -fuzz "^$name\$" -fuzztime "$FUZZTIME" "$dir"; then
      failed=1 # the failing input is now in testdata/fuzz: keep it, it is a test from now on
    fi
  done
done
if [ $ran -eq 0 ]; then echo "no fuzz functions in $*"; exit 1; fi
exit $failed
