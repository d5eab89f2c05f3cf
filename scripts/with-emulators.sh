#!/usr/bin/env bash
# Runs a command with the S3, GCS and Azure servers of scripts/emulators up and their variables
# set, and stops the servers afterwards:
#   scripts/with-emulators.sh go test ./objstore/...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if ! grep -rqE --include='*_test.go' 'SLATEDB_TEST_(S3|GCS|AZURE)_URL' objstore; then
  echo "no test asks for an emulator" >&2
  exit 1
fi
trap 'scripts/emulators/stop.sh' EXIT
for name in s3 gcs azure; do
  vars=$(scripts/emulators/start-$name.sh)
  eval "$vars"
done
"$@"
