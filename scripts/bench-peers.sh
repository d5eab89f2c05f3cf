#!/usr/bin/env bash
# Measures this library and the peers on this machine, in turns, and prints medians and ratios.
#
#   scripts/bench-peers.sh [key=value ...]      arguments for all drivers, e.g. n=4000000
#
#   ROUNDS=3                     rounds; each runs every engine once, A B C A B C
#   THREADS="1 8"                one table for each number of goroutines
#   WORKLOADS=fill,quiesce,...   what to run, in this order, on one database
#   ENGINES="pebble rust"        peers: pebble badger bbolt rust
#   BUILD_RUST=1                 builds the Rust peer (about 5 minutes); RUST_PEER=FILE names one
#
# The Rust peer is left out, with a note, when there is none. Lines go to .cache/bench/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROUNDS=${ROUNDS:-3}
THREADS=${THREADS:-1 8}
WORKLOADS=${WORKLOADS:-fill,quiesce,warm,get,get_miss,scan,seek10}
ENGINES=${ENGINES:-pebble rust}
OUT=$PWD/.cache/bench
mkdir -p "$OUT/dirs"

echo "building" >&2
go -C internal/bench build -o "$OUT/bench" .
case " $ENGINES " in
  *" pebble "* | *" badger "* | *" bbolt "*) go -C internal/bench/peers/go build -o "$OUT/peers" . ;;
esac
rust=${RUST_PEER:-internal/bench/peers/rust/target/release/peer}
if [ "${BUILD_RUST:-0}" = 1 ]; then
  (cd internal/bench/peers/rust && cargo build --release)
  rust=internal/bench/peers/rust/target/release/peer
fi
if [ ! -x "$rust" ]; then
  case " $ENGINES " in *" rust "*) echo "no Rust peer: build it with BUILD_RUST=1, or name one with RUST_PEER" >&2 ;; esac
  rust=
fi

# one ENGINE ARGS...: runs the workloads on one engine.
one() {
  local engine=$1; shift
  case $engine in
    ours) "$OUT/bench" "$WORKLOADS" "$@" ;;
    rust) [ -z "$rust" ] || "$rust" bench "$WORKLOADS" "$@" ;;
    pebble) "$OUT/peers" pebble "$WORKLOADS" dir= "$@" 2>/dev/null ;;
    *) # these keep files
      rm -rf "$OUT/dirs/$engine"
      "$OUT/peers" "$engine" "$WORKLOADS" "dir=$OUT/dirs/$engine" "$@" 2>/dev/null
      rm -rf "$OUT/dirs/$engine" ;;
  esac
}

for threads in $THREADS; do
  lines=$OUT/threads-$threads.jsonl
  : >"$lines"
  for round in $(seq "$ROUNDS"); do
    for engine in ours $ENGINES; do
      echo "threads=$threads round $round of $ROUNDS: $engine" >&2
      one "$engine" "threads=$threads" "$@" >>"$lines"
    done
  done
  printf '\n%s goroutines, %s, %s\n' "$threads" "${*:-n=1000000}" "$(uname -sm), $(getconf _NPROCESSORS_ONLN 2>/dev/null || echo '?') cores"
  "$OUT/bench" compare "$lines"
done
