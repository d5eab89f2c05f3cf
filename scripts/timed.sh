#!/usr/bin/env bash
# Runs one step of a longer run, with its name before it and its time behind it:
#   scripts/timed.sh NAME COMMAND...
set -uo pipefail
name=$1; shift
printf '\n==> %s\n' "$name"
begun=$SECONDS
"$@"
code=$?
if [ $code -eq 0 ]; then
  printf '<== %s: ok, %d s\n' "$name" $((SECONDS - begun))
else
  printf '<== %s: FAILED with %d, %d s\n' "$name" $code $((SECONDS - begun))
fi
exit $code
