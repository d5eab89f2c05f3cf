#!/usr/bin/env bash
# Rewrites the golden files of the packages that know the flag -rewrite, and shows what
# changed. What must not change by itself: the goldens under testdata/golden, which the
# original engine wrote; no test rewrites those.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mapfile -t dirs < <(grep -rlE --include='*_test.go' '"rewrite"|cockroachdb/datadriven' . | grep -v '^./internal/bench/' | xargs -r -n1 dirname | sort -u)
if [ ${#dirs[@]} -eq 0 ]; then echo "no package has goldens to rewrite"; exit 0; fi
for dir in "${dirs[@]}"; do
  echo "== $dir"
  go test -count=1 "$dir" -rewrite
done
git --no-pager diff --stat -- '*testdata*'
git --no-pager diff -- '*testdata*'
