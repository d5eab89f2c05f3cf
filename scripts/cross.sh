#!/usr/bin/env bash
# Builds everything, without cgo, for every platform that must work, and vets the tests of each,
# so that their files compile too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CGO_ENABLED=0
platforms=${PLATFORMS:-linux/amd64 linux/arm64 linux/386 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64 windows/386}
for p in $platforms; do
  echo "== $p"
  GOOS=${p%/*} GOARCH=${p#*/} go build ./...
  GOOS=${p%/*} GOARCH=${p#*/} go vet ./...
done
