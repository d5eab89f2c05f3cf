package slatedb

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

// Tests of lines of docs/acceptance.md that no other test covers as a whole.

// TestVisibilityMatrix is line 1: the bound of a read is the least of those that apply.
func TestVisibilityMatrix(t *testing.T) {
	ctx := context.Background()
	o := mergeOptions()
	o.FlushInterval = -1
	db := openTest(t, o)
	write := func(v string, noWait bool) {
		var b WriteBatch
		b.Put([]byte("k"), []byte(v))
		b.Merge([]byte("m"), []byte(v))
		_, err := db.WriteWithOptions(ctx, &b, &WriteOptions{NoWait: noWait})
		require.NoError(t, err)
	}
	write("1", false) // durable
	write("2", true)  // committed when the snapshot and the transaction begin
	snap, err := db.Snapshot()
	require.NoError(t, err)
	defer snap.Close()
	tx, err := db.Begin(SnapshotIsolation)
	require.NoError(t, err)
	defer tx.Rollback()
	own, err := db.Begin(SnapshotIsolation)
	require.NoError(t, err)
	defer own.Rollback()
	require.NoError(t, own.Put([]byte("k"), []byte("own")))
	write("3", true)

	for _, stage := range []struct {
		name  string
		after func()
		want  map[string][2]string // memory, remote
	}{
		{"nothing flushed", func() {}, map[string][2]string{"plain": {"3", "1"}, "snapshot": {"2", "1"}, "txn": {"2", "1"}}},
		{"durable", func() { require.NoError(t, db.Flush(ctx)) }, map[string][2]string{"plain": {"3", "3"}, "snapshot": {"2", "2"}, "txn": {"2", "2"}}},
		{"in a table", func() { flushMem(t, db) }, map[string][2]string{"plain": {"3", "3"}, "snapshot": {"2", "2"}, "txn": {"2", "2"}}},
	} {
		stage.after()
		for name, r := range map[string]ReadOps{"plain": db, "snapshot": snap, "txn": tx} {
			for i, d := range []Durability{DurabilityMemory, DurabilityRemote} {
				for _, dirty := range []bool{false, true} {
					at := fmt.Sprintf("%s, %s, durability %d, dirty %v", stage.name, name, d, dirty)
					ro := &ReadOptions{Durability: d, Dirty: dirty}
					v, err := r.GetWithOptions(ctx, []byte("k"), ro)
					require.NoError(t, err, at)
					require.Equal(t, stage.want[name][i], string(v), at)
					e, err := r.GetEntry(ctx, []byte("k"), ro)
					require.NoError(t, err, at)
					require.Equal(t, stage.want[name][i], fmt.Sprint(e.Seq), at)
					vs, err := r.MultiGet(ctx, [][]byte{[]byte("k"), []byte("none")}, ro)
					require.NoError(t, err, at)
					require.Equal(t, stage.want[name][i], string(vs[0]), at)
					n := int(stage.want[name][i][0] - '0')
					for _, order := range []Order{Ascending, Descending} {
						rows := scanRows(t, r, All, &ScanOptions{Durability: d, Dirty: dirty, Order: order})
						require.Len(t, rows, 2, at)
						if order == Descending {
							slices.Reverse(rows)
						}
						require.Equal(t, stage.want[name][i], string(rows[0].Value), at)
						require.Equal(t, strings.Join([]string{"1", "2", "3"}[:n], ","), string(rows[1].Value), at)
					}
				}
			}
		}
		for _, d := range []Durability{DurabilityMemory, DurabilityRemote} {
			v, err := own.GetWithOptions(ctx, []byte("k"), &ReadOptions{Durability: d})
			require.NoError(t, err)
			require.Equal(t, "own", string(v), "own writes pass every bound")
		}
	}
}

// TestBoundForms is line 5: every form of a bound, with the prefixes that have no end.
func TestBoundForms(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, testOptions())
	var keys []string
	for i, k := range []string{"\x00", "\x00\xff", "a", "a\x00", "ab", "b", "\xfe\xff", "\xff", "\xff\x00", "\xff\xff", "\xff\xff\xff"} {
		require.NoError(t, db.Put(ctx, []byte(k), []byte{1}))
		keys = append(keys, k)
		if i == 5 {
			flushMem(t, db)
		}
	}
	tx, err := db.Begin(SnapshotIsolation)
	require.NoError(t, err)
	defer tx.Rollback()
	bounds := [][]byte{nil, {}, {0}, []byte("a"), []byte("aa"), []byte("b"), {0xff}, {0xff, 0xff}, {0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0xff}}
	for _, r := range []ReadOps{db, tx} {
		for _, start := range bounds {
			for _, end := range bounds {
				for flags := range 4 {
					rng := Range{Start: start, End: end, StartExclusive: flags&1 != 0, EndInclusive: flags&2 != 0}
					if len(start) > 0 && end != nil && bytes.Compare(start, end) > 0 {
						_, err := r.ScanWithOptions(ctx, rng, nil)
						require.ErrorIs(t, err, ErrInvalid, "%+v", rng)
						continue
					}
					var want []string
					for _, k := range keys {
						low, high := len(start) == 0 || k > string(start) || k == string(start) && !rng.StartExclusive,
							end == nil || k < string(end) || k == string(end) && rng.EndInclusive
						if low && high {
							want = append(want, k)
						}
					}
					for _, order := range []Order{Ascending, Descending} {
						var got []string
						for _, e := range scanRows(t, r, rng, &ScanOptions{Order: order}) {
							got = append(got, string(e.Key))
						}
						if order == Descending {
							slices.Reverse(got)
						}
						require.Equal(t, want, got, "%+v order %d", rng, order)
					}
				}
			}
		}
		for _, p := range bounds {
			var want, got []string
			for _, k := range keys {
				if strings.HasPrefix(k, string(p)) {
					want = append(want, k)
				}
			}
			for _, e := range scanRows(t, r, Prefix(p), nil) {
				got = append(got, string(e.Key))
			}
			require.Equal(t, want, got, "prefix %q", p)
			it, err := r.ScanPrefix(ctx, p)
			require.NoError(t, err)
			n := 0
			for range it.All() {
				n++
			}
			require.NoError(t, it.Close())
			require.Equal(t, len(want), n)
		}
	}
}

// TestDescendingIsTheReverse is line 7, on every handle and over a random history.
func TestDescendingIsTheReverse(t *testing.T) {
	ctx := context.Background()
	for seed := range uint64(4) {
		o := mergeOptions()
		o.BlockSize, o.MinFilterKeys = 1<<10, -1
		o.DisableCompactor = false
		db := openTest(t, o)
		r := rand.New(rand.NewPCG(seed, 7))
		key := func() []byte { return fmt.Appendf(nil, "%c%02d", 'a'+r.IntN(3), r.IntN(30)) }
		var snaps []*Snapshot
		for step := range 500 {
			var err error
			switch r.IntN(10) {
			case 0:
				_, err = db.DeleteWithOptions(ctx, key(), &WriteOptions{NoWait: true})
			case 1, 2:
				_, err = db.MergeWithOptions(ctx, key(), []byte{'m'}, noWait)
			default:
				_, err = db.PutWithOptions(ctx, key(), fmt.Appendf(nil, "%d", step), noWait)
			}
			require.NoError(t, err)
			if step%90 == 89 {
				flushMem(t, db)
			}
			if step%150 == 149 {
				s, err := db.Snapshot()
				require.NoError(t, err)
				defer s.Close()
				snaps = append(snaps, s)
			}
		}
		tx, err := db.Begin(SnapshotIsolation)
		require.NoError(t, err)
		defer tx.Rollback()
		for range 20 {
			require.NoError(t, tx.Put(key(), []byte("own")))
			require.NoError(t, tx.Delete(key()))
			require.NoError(t, tx.Merge(key(), []byte("own")))
		}
		require.NoError(t, db.Flush(ctx))
		reader, err := OpenReader(ctx, "db", &ReaderOptions{Store: o.Store, Mode: FollowLatest, PollInterval: -1, MergeOperator: o.MergeOperator,
			Logger: quiet, BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20})
		require.NoError(t, err)
		handles := []ReadOps{db, tx, reader}
		for _, s := range snaps {
			handles = append(handles, s)
		}
		for i, h := range handles {
			for _, rng := range []Range{All, Prefix([]byte("b")), {Start: []byte("a15"), End: []byte("c15"), StartExclusive: true, EndInclusive: true}} {
				up := scanRows(t, h, rng, nil)
				down := scanRows(t, h, rng, &ScanOptions{Order: Descending})
				slices.Reverse(down)
				require.NotEmpty(t, up)
				require.Equal(t, entryStrings(up), entryStrings(down), "seed %d handle %d", seed, i)
			}
		}
		require.NoError(t, reader.Close(ctx))
	}
}

// TestConflictTable is line 9: what I do, what somebody else commits meanwhile, and whether I
// may commit, under either level.
func TestConflictTable(t *testing.T) {
	ctx := context.Background()
	k, other := []byte("k"), []byte("other")
	mine := []struct {
		name    string
		do      func(tx *Txn) error
		si, ssi bool // conflict with a write of k?
	}{
		{"nothing", func(*Txn) error { return nil }, false, false},
		{"put", func(tx *Txn) error { return tx.Put(k, nil) }, true, true},
		{"delete", func(tx *Txn) error { return tx.Delete(k) }, true, true},
		{"merge", func(tx *Txn) error { return tx.Merge(k, nil) }, true, true},
		{"put of another key", func(tx *Txn) error { return tx.Put(other, nil) }, false, false},
		{"unmarked put", func(tx *Txn) error {
			_ = tx.UnmarkWrite(k)
			return tx.Put(k, nil)
		}, false, false},
		{"put, then unmarked", func(tx *Txn) error {
			_ = tx.Put(k, nil)
			return tx.UnmarkWrite(k)
		}, false, false},
		{"get", func(tx *Txn) error { return accMissing(tx.Get(ctx, k)) }, false, true},
		{"get and put of another key", func(tx *Txn) error {
			_ = tx.Put(other, nil)
			return accMissing(tx.Get(ctx, k))
		}, false, true},
		{"multi get", func(tx *Txn) error {
			_, err := tx.MultiGet(ctx, [][]byte{other, k}, nil)
			return err
		}, false, true},
		{"get of another key", func(tx *Txn) error { return accMissing(tx.Get(ctx, other)) }, false, false},
		{"scan over it", func(tx *Txn) error { return accOpen(tx.Scan(ctx, []byte("a"), []byte("z"))) }, false, true},
		{"descending scan over it", func(tx *Txn) error {
			return accOpen(tx.ScanWithOptions(ctx, All, &ScanOptions{Order: Descending, Limit: 1}))
		}, false, true},
		{"prefix scan over it", func(tx *Txn) error { return accOpen(tx.ScanPrefix(ctx, k)) }, false, true},
		{"scan beside it", func(tx *Txn) error { return accOpen(tx.Scan(ctx, []byte("l"), nil)) }, false, false},
		{"mark read", func(tx *Txn) error { return tx.MarkRead(k) }, true, true},
	}
	theirs := []struct {
		name  string
		do    func(db *DB) error
		wrote bool
	}{
		{"nothing", func(*DB) error { return nil }, false},
		{"plain put", func(db *DB) error { return db.Put(ctx, k, nil) }, true},
		{"plain delete", func(db *DB) error { return db.Delete(ctx, k) }, true},
		{"plain merge", func(db *DB) error { return db.Merge(ctx, k, nil) }, true},
		{"batch", func(db *DB) error {
			var b WriteBatch
			b.Put([]byte("a"), nil)
			b.Put(k, nil)
			return db.Write(ctx, &b)
		}, true},
		{"conditional put", func(db *DB) error {
			_, err := db.PutIf(ctx, k, nil, Absent(), nil)
			return err
		}, true},
		{"transaction", func(db *DB) error {
			return db.Update(ctx, SnapshotIsolation, func(tx *Txn) error { return tx.Put(k, nil) })
		}, true},
		{"transaction rolled back", func(db *DB) error {
			tx, err := db.Begin(SnapshotIsolation)
			if err == nil {
				err = tx.Put(k, nil)
				tx.Rollback()
			}
			return err
		}, false},
		{"transaction with the write unmarked", func(db *DB) error {
			return db.Update(ctx, SnapshotIsolation, func(tx *Txn) error {
				_ = tx.UnmarkWrite(k)
				return tx.Put(k, nil)
			})
		}, false},
		{"put of a third key", func(db *DB) error { return db.Put(ctx, []byte("\x01"), nil) }, false},
	}
	for _, m := range mine {
		for _, th := range theirs {
			for level, conflict := range map[IsolationLevel]bool{SnapshotIsolation: m.si, SerializableSnapshot: m.ssi} {
				if th.name == "put of a third key" && m.name == "descending scan over it" {
					continue // that one covers all keys
				}
				db, err := Open(ctx, "db", mergeOptions())
				require.NoError(t, err)
				tx, err := db.Begin(level)
				require.NoError(t, err)
				require.NoError(t, m.do(tx), m.name)
				require.NoError(t, th.do(db), th.name)
				err = tx.Commit(ctx)
				if conflict && th.wrote {
					require.ErrorIs(t, err, ErrConflict, "%s: I %s, they %s", level, m.name, th.name)
				} else {
					require.NoError(t, err, "%s: I %s, they %s", level, m.name, th.name)
				}
				require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush}))
			}
		}
	}
}

func accMissing(_ []byte, err error) error {
	if err == nil || strings.Contains(err.Error(), ErrNotFound.Error()) {
		return nil
	}
	return err
}

func accOpen(it *Iterator, err error) error {
	if err != nil {
		return err
	}
	return it.Close()
}

// TestTTLForms is line 11 on put, merge, batch and transaction, with sums that overflow.
func TestTTLForms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		o := mergeOptions()
		o.DefaultTTL = time.Hour
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		defer db.Close(ctx)
		at := time.Now().Add(42 * time.Minute)
		for i, c := range []struct {
			o    *PutOptions
			want time.Duration // from the commit; 0 = never
			abs  time.Time
		}{
			{nil, time.Hour, time.Time{}},
			{&PutOptions{}, time.Hour, time.Time{}},
			{&PutOptions{TTL: time.Minute}, time.Minute, time.Time{}},
			{&PutOptions{TTL: -1}, 0, time.Time{}},
			{&PutOptions{TTL: 1}, time.Millisecond, time.Time{}},
			{&PutOptions{TTL: math.MaxInt64}, math.MaxInt64, time.Time{}},
			{&PutOptions{ExpireAt: at}, 0, at},
			{&PutOptions{ExpireAt: at, TTL: -1}, 0, at},
		} {
			k := fmt.Appendf(nil, "%d", i)
			for form, write := range map[string]func() error{
				"put":   func() error { _, err := db.PutWithOptions(ctx, k, []byte("v"), c.o); return err },
				"merge": func() error { _, err := db.MergeWithOptions(ctx, append(k, 'm'), []byte("v"), c.o); return err },
				"batch": func() error {
					var b WriteBatch
					b.PutWithOptions(append(k, 'b'), []byte("v"), c.o)
					b.MergeWithOptions(append(k, 'B'), []byte("v"), c.o)
					time.Sleep(time.Second)
					return db.Write(ctx, &b)
				},
				"txn": func() error {
					return db.Update(ctx, SnapshotIsolation, func(tx *Txn) error {
						if err := tx.PutWithOptions(append(k, 't'), []byte("v"), c.o); err != nil {
							return err
						}
						time.Sleep(time.Second)
						return tx.MergeWithOptions(append(k, 'T'), []byte("v"), c.o)
					})
				},
			} {
				require.NoError(t, write())
				for _, s := range map[string][]string{"put": {""}, "merge": {"m"}, "batch": {"b", "B"}, "txn": {"t", "T"}}[form] {
					e, err := db.GetEntry(ctx, append(k, s...), nil)
					require.NoError(t, err)
					switch {
					case !c.abs.IsZero():
						require.Equal(t, c.abs.UnixMilli(), e.ExpireTime.UnixMilli(), "%s %d", form, i)
					case c.want == 0:
						require.True(t, e.ExpireTime.IsZero(), "%s %d", form, i)
					default:
						require.Equal(t, e.CreateTime.UnixMilli()+max(1, c.want.Milliseconds())+int64(accPartial(c.want)), e.ExpireTime.UnixMilli(), "%s %d: counted from the commit", form, i)
					}
					require.Equal(t, time.Now().UnixMilli(), e.CreateTime.UnixMilli(), "the create time is that of the commit")
				}
			}
		}
	})
	require.EqualValues(t, 30, expiry(10, 20, false, 0))
	for _, ttl := range []int64{math.MaxInt64, math.MaxInt64 - 9} {
		require.Equal(t, int64(math.MinInt64), expiry(10, ttl, false, 0), "a sum that wraps never expires")
	}
	require.Equal(t, int64(math.MaxInt64), expiry(10, math.MaxInt64-10, false, 0))
}

// accPartial is 1 when d is no whole number of milliseconds and longer than one.
func accPartial(d time.Duration) int {
	if d > time.Millisecond && d%time.Millisecond != 0 {
		return 1
	}
	return 0
}

// TestFlushKinds is line 12: what each flush makes of what was written, with the WAL and
// without, and that nothing happens by itself without a timer.
func TestFlushKinds(t *testing.T) {
	for _, noWAL := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx := context.Background()
			s := faulty.New(objstore.NewMemory(), nil)
			o := testOptions()
			o.Store, o.DisableWAL, o.FlushInterval, o.ManifestPollInterval = s, noWAL, -1, -1
			db, err := Open(ctx, "db", o)
			require.NoError(t, err)
			count := func(dir string) (n int) {
				for m, err := range s.List(ctx, "db/"+dir+"/", "") {
					require.NoError(t, err)
					if m.Size > 0 {
						n++
					}
				}
				return n
			}
			put := func() WriteHandle {
				h, err := db.PutWithOptions(ctx, []byte("k"), []byte("v"), noWait)
				require.NoError(t, err)
				return h
			}
			h := put()
			time.Sleep(time.Hour)
			require.Less(t, db.Status().DurableSeq, h.Seq(), "nothing is flushed by itself")

			err = db.FlushWithOptions(ctx, &FlushOptions{Type: FlushWAL})
			if noWAL {
				require.ErrorIs(t, err, ErrInvalid)
				require.Less(t, db.Status().DurableSeq, h.Seq())
			} else {
				require.NoError(t, err)
				require.GreaterOrEqual(t, db.Status().DurableSeq, h.Seq())
				require.Equal(t, 1, count("wal"))
				require.Zero(t, count("compacted"))
			}

			h = put()
			require.NoError(t, db.Flush(ctx))
			require.GreaterOrEqual(t, db.Status().DurableSeq, h.Seq())
			wantWAL, wantTables := 2, 0
			if noWAL {
				wantWAL, wantTables = 0, 1
			}
			require.Equal(t, wantWAL, count("wal"))
			require.Equal(t, wantTables, count("compacted"))

			h = put()
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
			require.GreaterOrEqual(t, db.Status().DurableSeq, h.Seq())
			if !noWAL {
				wantWAL++
			}
			require.Equal(t, wantWAL, count("wal"))
			require.Equal(t, wantTables+1, count("compacted"))

			before := s.Requests()
			require.NoError(t, db.Flush(ctx))
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
			require.Equal(t, before, s.Requests(), "there was nothing to flush")
			require.ErrorIs(t, db.FlushWithOptions(ctx, &FlushOptions{Type: 9}), ErrInvalid)
			require.NoError(t, db.Close(ctx))
			require.ErrorIs(t, db.Flush(ctx), ErrClosed)
		})
	}
}

// TestWatchIsMonotonic is line 29: numbers of a status never go back, the last one is seen, and
// the watch ends with what closed the handle.
func TestWatchIsMonotonic(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	o.DisableCompactor = false
	db := openTest(t, o)
	reader, err := OpenReader(ctx, "db", &ReaderOptions{Store: o.Store, PollInterval: 2 * time.Millisecond, Logger: quiet})
	require.NoError(t, err)
	watch := func(w func(context.Context) func(func(Status) bool)) chan []Status {
		out := make(chan []Status, 1)
		go func() {
			var all []Status
			for s := range w(ctx) {
				all = append(all, s)
			}
			out <- all
		}()
		return out
	}
	seen := []chan []Status{
		watch(func(c context.Context) func(func(Status) bool) { return db.Watch(c) }),
		watch(func(c context.Context) func(func(Status) bool) { return reader.Watch(c) }),
	}
	var last uint64
	for i := range 60 {
		h, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "%d", i), nil, noWait)
		require.NoError(t, err)
		last = h.Seq()
		if i%9 == 8 {
			flushMem(t, db)
		}
	}
	require.NoError(t, db.Flush(ctx))
	require.NoError(t, reader.WaitForSeq(ctx, last))
	require.NoError(t, reader.Close(ctx))
	require.NoError(t, db.Close(ctx))
	for i, c := range seen {
		all := <-c
		require.NotEmpty(t, all)
		var prev Status
		for _, s := range all {
			require.GreaterOrEqual(t, s.CommittedSeq, prev.CommittedSeq)
			require.GreaterOrEqual(t, s.DurableSeq, prev.DurableSeq)
			require.GreaterOrEqual(t, s.ManifestID, prev.ManifestID)
			require.LessOrEqual(t, s.DurableSeq, s.CommittedSeq)
			require.NoError(t, prev.Err, "nothing comes after the end")
			prev = s
		}
		require.ErrorIs(t, prev.Err, ErrClosed)
		require.Equal(t, last, prev.DurableSeq, "watch %d: the newest is never missed", i)
	}
}

// TestHandleAfterTheEnd is line 3: a handle tells the true outcome of its write, for ever.
func TestHandleAfterTheEnd(t *testing.T) {
	ctx := context.Background()
	begin := func() (*DB, *Options, WriteHandle, WriteHandle) {
		o := testOptions()
		o.FlushInterval = -1
		db := openTest(t, o)
		stored, err := db.PutWithOptions(ctx, []byte("stored"), nil, nil)
		require.NoError(t, err)
		waiting, err := db.PutWithOptions(ctx, []byte("waiting"), nil, noWait)
		require.NoError(t, err)
		require.NoError(t, stored.Await(ctx)) // waiting is not awaited: that would upload it
		return db, o, stored, waiting
	}
	for _, c := range []struct {
		kind CloseFlush
		want error
	}{{CloseFlushMemtable, nil}, {CloseFlushWAL, nil}, {CloseNoFlush, ErrClosed}} {
		db, o, stored, waiting := begin()
		require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: c.kind}))
		for range 2 {
			require.NoError(t, stored.Await(ctx))
			require.ErrorIs(t, waiting.Await(ctx), c.want)
			db = openTest(t, o) // the next handle changes nothing about the answer
			ok, err := db.Has(ctx, []byte("waiting"))
			require.NoError(t, err)
			require.Equal(t, c.want == nil, ok, "the answer was the truth")
		}
		require.EqualValues(t, 2, waiting.Seq())
	}
	db, o, stored, waiting := begin()
	openTest(t, o)
	require.ErrorIs(t, db.Flush(ctx), ErrFenced)
	require.NoError(t, stored.Await(ctx))
	require.ErrorIs(t, waiting.Await(ctx), ErrFenced)
	require.ErrorIs(t, waiting.Await(ctx), ErrClosed)
	require.NoError(t, WriteHandle{}.Await(ctx))
}

// TestSeekRules is line 6.
func TestSeekRules(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, testOptions())
	for i, k := range []string{"b", "d", "f", "h", "j"} {
		require.NoError(t, db.Put(ctx, []byte(k), nil))
		if i == 2 {
			flushMem(t, db)
		}
	}
	for _, c := range []struct {
		name  string
		order Order
		steps string // a key to seek, "." for Next; "!" = refused, "$" = the end, else the key found
		want  string
	}{
		{"forward, between keys and on them", Ascending, "d.g.", "dfhj"},
		{"equality", Ascending, "ddd.", "dddf"},
		{"back is refused and harms nothing", Ascending, "fa.ba", "f!h!!"},
		{"first of all", Ascending, "..a.", "bd!f"},
		{"before the range, nothing read yet", Ascending, "a.", "bd"},
		{"behind the range", Ascending, "bz.", "b$$"},
		{"descending", Descending, "i.e.a", "hfdb$"},
		{"descending, equality", Descending, "hhh.", "hhhf"},
		{"descending, back is refused", Descending, "dj.", "d!b"},
		{"descending, above the range", Descending, "z.", "jh"},
	} {
		it, err := db.ScanWithOptions(ctx, All, &ScanOptions{Order: c.order})
		require.NoError(t, err)
		got := ""
		for _, s := range c.steps {
			ok := false
			if s == '.' {
				ok = it.Next()
			} else {
				ok = it.Seek([]byte(string(s)))
			}
			switch {
			case ok:
				got += string(it.Key())
				require.NoError(t, it.Err())
			case it.Err() != nil:
				require.ErrorIs(t, it.Err(), ErrInvalid)
				got += "!"
			default:
				got += "$"
			}
		}
		require.Equal(t, c.want, got, c.name)
		_ = it.Close()
	}
	it, err := db.Scan(ctx, []byte("c"), []byte("h"))
	require.NoError(t, err)
	require.True(t, it.Seek([]byte("a")), "before the range: its first entry")
	require.Equal(t, "d", string(it.Key()))
	require.False(t, it.Seek([]byte("h")), "the excluded end is outside")
	require.NoError(t, it.Err())
	require.NoError(t, it.Close())
}
