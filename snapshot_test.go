package slatedb

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/internal/kv"
)

func flushMem(t require.TestingT, db *DB) {
	require.NoError(t, db.FlushWithOptions(context.Background(), &FlushOptions{Type: FlushMemtable}))
}

func TestSnapshotReads(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, mergeOptions())
	empty, err := db.Snapshot()
	require.NoError(t, err)
	require.Zero(t, empty.Seq())
	story(t, db, `
		put a 1
		put b 1
		merge m x`)
	s, err := db.Snapshot()
	require.NoError(t, err)
	require.EqualValues(t, 3, s.Seq())
	n, ok := db.Metrics().Value("slatedb.db.snapshot_count")
	require.True(t, ok)
	require.EqualValues(t, 2, n)
	story(t, db, `
		put a 2
		delete b
		merge m y
		put c 1`)
	for _, flush := range []bool{false, true} {
		if flush {
			flushMem(t, db)
		}
		require.Equal(t, []string{`"a"="1"@1`, `"b"="1"@2`, `"m"="x"@3`}, entryStrings(scanRows(t, s, All, nil)))
		require.Equal(t, []string{`"m"="x"@3`, `"b"="1"@2`, `"a"="1"@1`}, entryStrings(scanRows(t, s, All, &ScanOptions{Order: Descending, Dirty: true})))
		require.Empty(t, scanRows(t, empty, All, nil))
		v, err := s.Get(ctx, []byte("a"))
		require.NoError(t, err)
		require.Equal(t, "1", string(v))
		v, err = s.GetWithOptions(ctx, []byte("m"), &ReadOptions{Dirty: true, Durability: DurabilityRemote})
		require.NoError(t, err)
		require.Equal(t, "x", string(v))
		v, err = s.AppendGet(ctx, []byte(">"), []byte("b"), nil)
		require.NoError(t, err)
		require.Equal(t, ">1", string(v))
		e, err := s.GetEntry(ctx, []byte("m"), nil)
		require.NoError(t, err)
		require.EqualValues(t, 3, e.Seq)
		ok, err := s.Has(ctx, []byte("c"))
		require.NoError(t, err)
		require.False(t, ok)
		vs, err := s.MultiGet(ctx, [][]byte{[]byte("c"), []byte("b"), []byte("m")}, nil)
		require.NoError(t, err)
		require.Equal(t, [][]byte{nil, []byte("1"), []byte("x")}, vs)
		it, err := s.Scan(ctx, []byte("b"), []byte("c"))
		require.NoError(t, err)
		require.True(t, it.Next())
		require.False(t, it.Next())
		require.NoError(t, it.Close())
		it, err = s.ScanPrefix(ctx, []byte("m"))
		require.NoError(t, err)
		require.True(t, it.Next())
		require.NoError(t, it.Close())
	}
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	_, err = s.Get(ctx, []byte("a"))
	require.ErrorIs(t, err, ErrClosed)
	for _, err := range s.Entries(ctx, All, nil) {
		require.ErrorIs(t, err, ErrClosed)
	}
	_, err = s.MultiGet(ctx, nil, nil)
	require.ErrorIs(t, err, ErrClosed)
	require.EqualValues(t, 0, db.oldestSnapshot(), "the other one is still live")
	require.NoError(t, empty.Close())
	require.Equal(t, kv.MaxSeq, db.oldestSnapshot())
	n, _ = db.Metrics().Value("slatedb.db.snapshot_count")
	require.Zero(t, n)

	last, err := db.Snapshot()
	require.NoError(t, err)
	require.NoError(t, db.Close(ctx))
	_, err = last.Get(ctx, []byte("a"))
	require.ErrorIs(t, err, ErrClosed)
	require.NoError(t, last.Close())
	_, err = db.Snapshot()
	require.ErrorIs(t, err, ErrClosed)
}

// TestSnapshotDurability: Remote gives the smaller of the snapshot's and the durable number.
func TestSnapshotDurability(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	o.FlushInterval = -1
	db := openTest(t, o)
	require.NoError(t, db.Put(ctx, []byte("k"), []byte("1")))
	_, err := db.PutWithOptions(ctx, []byte("k"), []byte("2"), &PutOptions{NoWait: true})
	require.NoError(t, err)
	s, err := db.Snapshot()
	require.NoError(t, err)
	defer s.Close()
	remote := &ReadOptions{Durability: DurabilityRemote}
	v, err := s.GetWithOptions(ctx, []byte("k"), remote)
	require.NoError(t, err)
	require.Equal(t, "1", string(v))
	require.NoError(t, db.Flush(ctx))
	require.NoError(t, db.Put(ctx, []byte("k"), []byte("3")))
	v, err = s.GetWithOptions(ctx, []byte("k"), remote)
	require.NoError(t, err)
	require.Equal(t, "2", string(v))
}

// TestSnapshotInManifest: the smallest number in use is what compactors are told.
func TestSnapshotInManifest(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, testOptions())
	put := func() {
		require.NoError(t, db.Put(ctx, []byte("k"), nil))
		flushMem(t, db)
	}
	minSeq := func() kv.Seq { return db.fenced.Current().SnapshotMinSeq }
	put()
	require.EqualValues(t, 1, minSeq())
	s, err := db.Snapshot()
	require.NoError(t, err)
	put()
	tx, err := db.Begin(SnapshotIsolation)
	require.NoError(t, err)
	put()
	require.EqualValues(t, 1, minSeq())
	require.NoError(t, s.Close())
	put()
	require.EqualValues(t, 2, minSeq(), "transactions count")
	tx.Rollback()
	put()
	require.EqualValues(t, 5, minSeq())
	w := new(window)
	db.openWindow(w)
	put()
	require.EqualValues(t, 6, minSeq(), "conditional writes need no old versions")
	db.endWindow(w)
}

// TestSnapshotModel holds snapshots over writes, flushes and compactions.
func TestSnapshotModel(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		o := mergeOptions()
		o.L0SSTSizeBytes = rapid.SampledFrom([]int{600, 1 << 20}).Draw(t, "l0")
		o.DisableWAL = rapid.IntRange(0, 3).Draw(t, "wal") == 0
		o.FlushInterval, o.ManifestPollInterval = -1, -1
		o.DisableCompactor = rapid.IntRange(0, 2).Draw(t, "compactor") > 0
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		defer db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush})
		type held struct {
			s    *Snapshot
			rows []string
		}
		var live []held
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				var b WriteBatch
				for range rapid.IntRange(1, 4).Draw(t, "rows") {
					switch k := drawKey(t); rapid.IntRange(0, 3).Draw(t, "kind") {
					case 0:
						b.Delete(k)
					case 1:
						b.Merge(k, []byte("m"))
					default:
						b.Put(k, drawValue(t))
					}
				}
				_, err := db.WriteWithOptions(ctx, &b, &WriteOptions{NoWait: true})
				require.NoError(t, err)
			},
			"take": func(t *rapid.T) {
				s, err := db.Snapshot()
				require.NoError(t, err)
				live = append(live, held{s, entryStrings(scanRows(t, db, All, nil))})
			},
			"drop": func(t *rapid.T) {
				if len(live) > 0 {
					i := rapid.IntRange(0, len(live)-1).Draw(t, "which")
					require.NoError(t, live[i].s.Close())
					live = append(live[:i], live[i+1:]...)
				}
			},
			"flush": func(t *rapid.T) { flushMem(t, db) },
			"compact": func(t *rapid.T) {
				if !o.DisableCompactor && rapid.IntRange(0, 3).Draw(t, "really") == 0 {
					require.NoError(t, db.Compact(ctx))
				}
			},
			"": func(t *rapid.T) {
				for _, h := range live {
					require.Equal(t, h.rows, entryStrings(scanRows(t, h.s, All, nil)), "at %d", h.s.Seq())
				}
			},
		})
	})
}

// TestSnapshotRace takes snapshots while others write and flush: each sees a whole number of
// batches, and the same twice.
func TestSnapshotRace(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	o.L0SSTSizeBytes = 4 << 10
	db := openTest(t, o)
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		defer close(done)
		var b WriteBatch
		for i := range 400 {
			b.Reset()
			for k := range 10 {
				b.Put(fmt.Appendf(nil, "k%d", k), bytes.Repeat([]byte{byte(i)}, 20))
			}
			_, err := db.WriteWithOptions(ctx, &b, &WriteOptions{NoWait: true})
			assert.NoError(t, err)
			if i%40 == 0 {
				flushMem(t, db)
			}
		}
	})
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				s, err := db.Snapshot()
				assert.NoError(t, err)
				for range 2 {
					rows := scanRows(t, s, All, nil)
					if s.Seq() > 0 && assert.Len(t, rows, 10) {
						for _, e := range rows {
							assert.EqualValues(t, s.Seq(), e.Seq)
						}
					}
				}
				assert.NoError(t, s.Close())
			}
		})
	}
	wg.Wait()
}

// TestSnapshotAndExpiry: a snapshot does not stop time.
func TestSnapshotAndExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		db, err := Open(ctx, "db", testOptions())
		require.NoError(t, err)
		defer db.Close(ctx)
		_, err = db.PutWithOptions(ctx, []byte("k"), nil, &PutOptions{TTL: time.Minute})
		require.NoError(t, err)
		s, err := db.Snapshot()
		require.NoError(t, err)
		defer s.Close()
		ok, err := s.Has(ctx, []byte("k"))
		require.NoError(t, err)
		require.True(t, ok)
		time.Sleep(time.Minute)
		ok, err = s.Has(ctx, []byte("k"))
		require.NoError(t, err)
		require.False(t, ok)
	})
}
