package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
)

// l0Database makes a database of n L0 tables with the keys k0 to k9 in each.
func l0Database(t *testing.T, location string, n int) {
	t.Helper()
	db, err := slatedb.Open(t.Context(), location, &slatedb.Options{
		DisableCompactor: true, DisableGC: true, BlockCacheBytes: -1, MetaCacheBytes: -1,
	})
	require.NoError(t, err)
	for i := range n {
		for k := range 10 {
			_, err := db.PutWithOptions(t.Context(), fmt.Appendf(nil, "k%d", k), fmt.Appendf(nil, "v%d", i), &slatedb.PutOptions{NoWait: true})
			require.NoError(t, err)
		}
		require.NoError(t, db.FlushWithOptions(t.Context(), &slatedb.FlushOptions{Type: slatedb.FlushMemtable}))
	}
	require.NoError(t, db.Close(t.Context()))
}

// background runs a command until stop is called, which returns its result.
func background(t *testing.T, args ...string) (stop func() result) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan result, 1)
	go func() {
		var out, err bytes.Buffer
		code := run(ctx, args, &streams{nil, &out, &err})
		done <- result{code, out.String(), err.String()}
	}()
	return func() result {
		cancel()
		return <-done
	}
}

func latestOf(t *testing.T, location string) *manifest.Manifest {
	t.Helper()
	s, root, err := objstore.Resolve(t.Context(), location)
	require.NoError(t, err)
	m, err := manifest.NewStore(s, root, seam.New(seam.Env{})).Latest(t.Context())
	require.NoError(t, err)
	return m
}

// eventually waits, in the bubble's time.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for range 200 {
		if f() {
			return
		}
		time.Sleep(time.Second)
	}
	t.Fatalf("never: %s", what)
}

// inBubble runs f in its own time, with a database of n L0 tables in a store of its own.
func inBubble(t *testing.T, n int, f func(t *testing.T, location string)) {
	name := strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-"))
	t.Cleanup(func() { objstore.ForgetMemory(name) })
	synctest.Test(t, func(t *testing.T) {
		location := "memory://" + name + "/db"
		l0Database(t, location, n)
		f(t, location)
	})
}

func TestRunCompactor(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, location string) {
		stop := background(t, "run-compactor", location)
		eventually(t, "L0 is merged", func() bool { return len(latestOf(t, location).Root.Runs) == 1 })
		out := ok(t, "submit-compaction", "--wait", "--json", "--request", `{"Spec":{"sources":[{"SortedRun":0}],"destination":0}}`, location)
		assert.Contains(t, out, `"status": "Completed"`)
		assert.Contains(t, ok(t, "read-compactions", location), "Completed")
		r := stop()
		assert.Equal(t, result{}, r, "an interrupt ends it without an error")
		m := latestOf(t, location)
		assert.Empty(t, m.Root.L0)
		assert.NotZero(t, m.CompactorEpoch)
		verified(t, location, 0)
	})
}

func TestRunWorker(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, location string) {
		coordinator := background(t, "run-compactor", "--no-embedded-worker", location)
		time.Sleep(time.Minute)
		assert.Empty(t, latestOf(t, location).Root.Runs, "nobody merges")
		worker := background(t, "run-worker", "--jobs", "1", "--compression", "snappy", location)
		eventually(t, "L0 is merged", func() bool { return len(latestOf(t, location).Root.Runs) == 1 })
		assert.Equal(t, result{}, worker())
		assert.Equal(t, result{}, coordinator())
		assert.Equal(t, slatedb.Snappy, latestOf(t, location).Root.Runs[0].Views[0].Table.Info.Codec)
		verified(t, location, 0)
	})
}

func TestSubmitCompaction(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, location string) {
		assert.Equal(t, "nothing to do\n", ok(t, "submit-compaction", location), "there is no run")
		view := latestOf(t, location).Root.L0[1].ID.String()
		out := ok(t, "submit-compaction", "--request", `{"Spec":{"sources":[{"SstView":"`+view+`"}],"destination":0}}`, location)
		id, state, _ := strings.Cut(strings.TrimSpace(out), "  ")
		assert.Equal(t, "Submitted", state)
		assert.Contains(t, ok(t, "read-compaction", location, id), "run 0")
		assert.Contains(t, fails(t, 1, "submit-compaction", "--request", `{"DrainSegment":{"segment":"no/"}}`, location), `no segment "no/"`)
	})
	for request, want := range map[string]string{
		`nonsense`: "invalid", `"Half"`: "no such request", `{}`: "no such request", `{"Spec":{"sources":[{}],"destination":"x"}}`: "cannot",
	} {
		assert.Contains(t, fails(t, 2, "submit-compaction", "--request", request, "x"), want)
	}
	assert.Contains(t, fails(t, 2, "submit-compaction", "--scheduler", "leveled", "x"), "want size-tiered")
}

func TestParseRequest(t *testing.T) {
	for text, want := range map[string]slatedb.CompactionRequest{
		`"Full"`:                              {Kind: slatedb.CompactFull},
		`Full`:                                {Kind: slatedb.CompactFull},
		`{"FullSegment":{"segment":[97,47]}}`: {Kind: slatedb.CompactSegment, Segment: []byte("a/")},
		`{"FullSegment":{"segment":"a/"}}`:    {Kind: slatedb.CompactSegment, Segment: []byte("a/")},
		`{"DrainSegment":{"segment":"0x00"}}`: {Kind: slatedb.DrainSegment, Segment: []byte{0}},
		`{"Spec":{"sources":[3,"A",{"SortedRun":0},{"SstView":"B"},{"Sst":"C"}],"destination":7,"segment":[1]}}`: {
			Kind: slatedb.CompactSpec, Segment: []byte{1}, Sources: []string{"3", "A", "0", "B", "C"}, Destination: 7},
	} {
		got, err := parseRequest(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
}

func TestCompact(t *testing.T) {
	db := database(t, "a=1", "b=2")
	ok(t, "put", db, "a", "3")
	require.Len(t, latestOf(t, db).Root.L0, 1)
	ok(t, "compact", "--compression", "zstd", db)
	m := latestOf(t, db)
	assert.Empty(t, m.Root.L0)
	require.Len(t, m.Root.Runs, 1)
	assert.Equal(t, slatedb.Zstd, m.Root.Runs[0].Views[0].Table.Info.Codec)
	assert.Equal(t, "a\t3\nb\t2\n", ok(t, "scan", db))
	ok(t, "put", db, "c", "4")
	ok(t, "compact", db)
	assert.Equal(t, slatedb.Zstd, latestOf(t, db).Root.Runs[0].Views[0].Table.Info.Codec, "as the tables there are")
	assert.Contains(t, fails(t, 2, "compact", "--compression", "arj", db), "want none, snappy")
	verified(t, db, 0)
}

func TestRunGC(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, location string) {
		time.Sleep(time.Hour)
		before := document[statsReport](t, "stats", location)
		dry := document[gcReport](t, "run-garbage-collection", "--dry-run", location)
		assert.True(t, dry.DryRun)
		require.NotEmpty(t, dry.Deleted)
		assert.Empty(t, dry.Kept)
		assert.Contains(t, ok(t, "run-garbage-collection", "--dry-run", location), "would delete")
		assert.Equal(t, before.Objects, document[statsReport](t, "stats", location).Objects)

		only := document[gcReport](t, "run-garbage-collection", "-r", "wal", "-m", "0s", location)
		require.NotEmpty(t, only.Deleted)
		for _, o := range only.Deleted {
			assert.Equal(t, "wal", o.Kind)
		}
		rest := document[gcReport](t, "run-garbage-collection", "--kept", location)
		kinds := map[string]bool{}
		for _, o := range rest.Deleted {
			kinds[o.Kind] = true
		}
		assert.Equal(t, map[string]bool{"manifest": true}, kinds)
		assert.NotEmpty(t, rest.Kept)
		assert.NotEmpty(t, rest.Kept[0].Reason)
		assert.Contains(t, ok(t, "run-garbage-collection", location), "deleted 0 objects")
		verified(t, location, 0)
	})
	assert.Contains(t, fails(t, 2, "run-garbage-collection", "-r", "everything", "x"), "want manifest, wal")
}

func TestScheduleGC(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, location string) {
		stop := background(t, "schedule-garbage-collection", "--manifest", "min_age=30min,period=10min", location)
		time.Sleep(20 * time.Minute)
		assert.Equal(t, uint64(1), document[[]slatedb.ManifestInfo](t, "list-manifests", location)[0].ID, "too young")
		time.Sleep(time.Hour)
		assert.Len(t, document[[]slatedb.ManifestInfo](t, "list-manifests", location), 1)
		assert.Equal(t, result{}, stop())
		kinds := map[string]int{}
		for _, o := range document[statsReport](t, "stats", location).Objects {
			kinds[o.Kind] = o.Objects
		}
		assert.Greater(t, kinds["wal"], 2, "only what was named is collected")
	})
	assert.Contains(t, fails(t, 2, "schedule-garbage-collection", "x"), "at least one of")
	for _, s := range []string{"5m", "min_age=x", "period=0s", ""} {
		assert.Equal(t, 2, slate(t, "schedule-garbage-collection", "--wal", s, "x").code, "%q", s)
	}
}
