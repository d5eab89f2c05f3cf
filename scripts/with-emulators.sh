#!/usr/bin/env bash
# Runs a command with new servers of scripts/emulators up and their variables set, and stops
# them afterwards, however the command ends:
#   scripts/with-emulators.sh go test ./objstore/...            # all three
#   scripts/with-emulators.sh s3 -- go test ./objstore/s3       # this one; SLATEDB_TEST_URL is its URL
# SLATEDB_TEST_SERVERS is set: a test that finds no server then fails where it would be skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
names=()
for arg in "$@"; do
  case $arg in
    s3 | gcs | azure) names+=("$arg") ;;
    --) shift $((${#names[@]} + 1)); break ;;
    *) names=(s3 gcs azure); break ;;
  esac
done
[ $# -gt 0 ] || { echo "no command" >&2; exit 2; }

export EMULATORS_DIR=${EMULATORS_DIR:-$PWD/.cache/emulators}
mkdir -p "$EMULATORS_DIR"
EMULATORS_RUN=$(mktemp -d "$EMULATORS_DIR/run.XXXXXX") # of this run alone, as is what it stops
export EMULATORS_RUN
finish() { scripts/emulators/stop.sh "${names[@]}"; rm -rf "$EMULATORS_RUN"; }
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

export SLATEDB_TEST_SERVERS=1
for name in "${names[@]}"; do
  vars=$(scripts/emulators/start-"$name".sh)
  eval "$vars"
done
if [ ${#names[@]} -eq 1 ]; then
  url=SLATEDB_TEST_${names[0]^^}_URL
  export SLATEDB_TEST_URL=${!url}
fi
"$@"
