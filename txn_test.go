package slatedb

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTxnRules(t *testing.T) {
	ctx := context.Background()
	k := []byte("k")
	t.Run("finished", func(t *testing.T) {
		db := openTest(t, mergeOptions())
		for _, end := range []func(*Txn){
			func(tx *Txn) { tx.Rollback() },
			func(tx *Txn) { require.NoError(t, tx.Commit(ctx)) },
			func(tx *Txn) {
				require.NoError(t, tx.MarkRead(k))
				require.NoError(t, db.Put(ctx, k, nil))
				require.ErrorIs(t, tx.Commit(ctx), ErrConflict)
			},
		} {
			tx, err := db.Begin(SnapshotIsolation)
			require.NoError(t, err)
			sp := tx.Savepoint()
			end(tx)
			tx.Rollback() // nothing happens
			_, errGet := tx.Get(ctx, k)
			_, errAppend := tx.AppendGet(ctx, nil, k, nil)
			_, errEntry := tx.GetEntry(ctx, k, nil)
			_, errHas := tx.Has(ctx, k)
			_, errMulti := tx.MultiGet(ctx, [][]byte{k}, nil)
			_, errScan := tx.Scan(ctx, nil, nil)
			_, errPrefix := tx.ScanPrefix(ctx, nil)
			_, errCommit := tx.CommitWithOptions(ctx, nil)
			var errEntries error
			for _, errEntries = range tx.Entries(ctx, All, nil) {
			}
			for i, err := range []error{
				errGet, errAppend, errEntry, errHas, errMulti, errScan, errPrefix, errCommit, errEntries,
				tx.Put(k, nil), tx.Delete(k), tx.Merge(k, nil), tx.MarkRead(k), tx.UnmarkWrite(k), tx.RollbackTo(sp), tx.Commit(ctx),
				tx.RollbackTo(tx.Savepoint()),
			} {
				require.ErrorIs(t, err, ErrInvalid, "call %d", i)
				require.NotErrorIs(t, err, ErrConflict)
			}
		}
		require.Zero(t, db.conflicts.windows.n)
		require.Zero(t, db.liveTxns.Load())
	})
	t.Run("closed", func(t *testing.T) {
		db, err := Open(ctx, "db", mergeOptions())
		require.NoError(t, err)
		tx, err := db.Begin(SnapshotIsolation)
		require.NoError(t, err)
		require.NoError(t, tx.Put(k, nil))
		reader, err := db.Begin(SerializableSnapshot)
		require.NoError(t, err)
		require.NoError(t, db.Close(ctx))
		require.ErrorIs(t, tx.Put(k, nil), ErrClosed)
		_, err = tx.Get(ctx, k)
		require.ErrorIs(t, err, ErrClosed)
		require.ErrorIs(t, tx.Commit(ctx), ErrClosed)
		require.ErrorIs(t, reader.Commit(ctx), ErrClosed)
		tx.Rollback()
		_, err = db.Begin(SnapshotIsolation)
		require.ErrorIs(t, err, ErrClosed)
		require.ErrorIs(t, db.Update(ctx, SnapshotIsolation, func(*Txn) error { return nil }), ErrClosed)
		_, err = db.PutIf(ctx, k, nil, Absent(), nil)
		require.ErrorIs(t, err, ErrClosed)
	})
	t.Run("bad arguments", func(t *testing.T) {
		db := openTest(t, testOptions())
		_, err := db.Begin(7)
		require.ErrorIs(t, err, ErrInvalid)
		tx, err := db.Begin(SnapshotIsolation)
		require.NoError(t, err)
		defer tx.Rollback()
		require.ErrorIs(t, tx.Put(nil, nil), ErrInvalid)
		require.ErrorIs(t, tx.PutWithOptions(k, nil, &PutOptions{NoWait: true}), ErrInvalid)
		require.ErrorIs(t, tx.PutWithOptions(k, nil, &PutOptions{Seq: 9}), ErrInvalid)
		require.ErrorIs(t, tx.Merge(k, nil), ErrInvalid, "no operator")
		require.ErrorIs(t, tx.MarkRead(nil), ErrInvalid)
		require.ErrorIs(t, tx.UnmarkWrite(k, nil), ErrInvalid)
		_, err = tx.Get(ctx, nil)
		require.ErrorIs(t, err, ErrInvalid)
		_, err = tx.Scan(ctx, []byte("b"), []byte("a"))
		require.ErrorIs(t, err, ErrInvalid)
		require.NoError(t, tx.Put(k, []byte("v")), "a refused call leaves the transaction usable")
		h, err := tx.CommitWithOptions(ctx, &WriteOptions{NoWait: true, Seq: 100})
		require.NoError(t, err)
		require.EqualValues(t, 100, h.Seq())
		require.NoError(t, h.Await(ctx))
		require.ErrorIs(t, db.Update(ctx, SnapshotIsolation, nil), ErrInvalid)
		for _, s := range []string{"", "rc", "serializable"} {
			_, err := ParseIsolation(s)
			require.ErrorIs(t, err, ErrInvalid)
		}
		for _, l := range []IsolationLevel{SnapshotIsolation, SerializableSnapshot} {
			got, err := ParseIsolation(l.String())
			require.NoError(t, err)
			require.Equal(t, l, got)
		}
	})
	t.Run("numbers and ids", func(t *testing.T) {
		db := openTest(t, testOptions())
		require.NoError(t, db.Put(ctx, k, nil))
		a, err := db.Begin(SnapshotIsolation)
		require.NoError(t, err)
		b, err := db.Begin(SnapshotIsolation)
		require.NoError(t, err)
		require.EqualValues(t, 1, a.Seq())
		require.NotEqual(t, a.ID(), b.ID())
		require.NotEqual(t, uuid.UUID{}, a.ID())
		h, err := a.CommitWithOptions(ctx, nil)
		require.NoError(t, err)
		require.Equal(t, WriteHandle{}, h, "an empty commit")
		require.NoError(t, h.Await(ctx))
		require.NoError(t, b.Put(k, nil))
		require.NoError(t, db.Put(ctx, k, nil))
		require.ErrorIs(t, b.Commit(ctx), ErrConflict)
		h, err = db.PutWithOptions(ctx, k, nil, nil)
		require.NoError(t, err)
		require.EqualValues(t, 3, h.Seq(), "a conflict takes no number")
		n, _ := db.Metrics().Value("slatedb.db.transaction_conflict_count")
		require.EqualValues(t, 1, n)
	})
	t.Run("two goroutines", func(t *testing.T) {
		db := openTest(t, testOptions())
		tx, err := db.Begin(SnapshotIsolation)
		require.NoError(t, err)
		require.NoError(t, tx.enter()) // as if a call were under way
		require.ErrorIs(t, tx.Put(k, nil), ErrInvalid)
		_, err = tx.Get(ctx, k)
		require.ErrorIs(t, err, ErrInvalid)
		tx.Rollback() // takes effect when the other call ends
		require.False(t, tx.done)
		tx.leave()
		require.True(t, tx.done)
		require.Zero(t, db.conflicts.windows.n)
	})
	t.Run("forgotten", func(t *testing.T) {
		db := openTest(t, testOptions())
		func() {
			_, err := db.Begin(SnapshotIsolation)
			require.NoError(t, err)
			_, err = db.Snapshot()
			require.NoError(t, err)
		}()
		for range 100 { // cleanups run on a goroutine of the runtime
			runtime.GC()
			runtime.Gosched()
			if db.liveTxns.Load()+db.liveSnapshots.Load() == 0 {
				return
			}
		}
		for range 1000 {
			runtime.GC()
			if db.liveTxns.Load()+db.liveSnapshots.Load() == 0 {
				return
			}
		}
		t.Fatal("the collector did not release them")
	})
}

func TestTxnOwnWrites(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, mergeOptions())
	story(t, db, `
		put a 1
		put b 1
		merge m x
		put p 1`)
	tx, err := db.Begin(SnapshotIsolation)
	require.NoError(t, err)
	require.NoError(t, tx.PutWithOptions([]byte("a"), []byte("own"), &PutOptions{TTL: time.Nanosecond}))
	require.NoError(t, tx.Delete([]byte("b")))
	require.NoError(t, tx.Merge([]byte("m"), []byte("y")))
	require.NoError(t, tx.Merge([]byte("m"), []byte("z")))
	require.NoError(t, tx.Delete([]byte("p")))
	require.NoError(t, tx.MergeWithOptions([]byte("p"), []byte("q"), &PutOptions{TTL: -1}))
	require.NoError(t, tx.Merge([]byte("new"), []byte("n")))
	require.NoError(t, tx.Put([]byte("empty"), nil))
	rows := scanRows(t, tx, All, nil)
	require.Equal(t, []string{
		`"a"="own"@18446744073709551615`, `"empty"=""@18446744073709551615`, `"m"="x,y,z"@18446744073709551615`,
		`"new"="n"@18446744073709551615`, `"p"="q"@18446744073709551615`,
	}, entryStrings(rows))
	for _, e := range rows {
		require.True(t, e.ExpireTime.IsZero(), "%q", e.Key)
		require.Equal(t, string(e.Key) == "m", !e.CreateTime.IsZero(), "%q: a row merged with stored data has its time", e.Key)
		got, err := tx.GetEntry(ctx, e.Key, &ReadOptions{Durability: DurabilityRemote})
		require.NoError(t, err)
		require.Equal(t, e, got)
		ok, err := tx.Has(ctx, e.Key)
		require.NoError(t, err)
		require.True(t, ok)
	}
	vs, err := tx.MultiGet(ctx, [][]byte{[]byte("p"), []byte("b"), []byte("m"), []byte("none"), []byte("empty"), []byte("a"), []byte("p")}, nil)
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("q"), nil, []byte("x,y,z"), nil, {}, []byte("own"), []byte("q")}, vs)
	v, err := tx.AppendGet(ctx, []byte("> "), []byte("m"), nil)
	require.NoError(t, err)
	require.Equal(t, "> x,y,z", string(v))
	_, err = tx.Get(ctx, []byte("b"))
	require.ErrorIs(t, err, ErrNotFound)

	// An iterator keeps what it saw.
	it, err := tx.ScanWithOptions(ctx, All, nil)
	require.NoError(t, err)
	require.NoError(t, tx.Put([]byte("a"), []byte("later")))
	require.NoError(t, tx.Put([]byte("zz"), []byte("later")))
	require.True(t, it.Next())
	require.Equal(t, "own", string(it.Value()))
	require.True(t, it.Seek([]byte("n")))
	require.Equal(t, "new", string(it.Key()))
	require.NoError(t, tx.Commit(ctx))
	require.True(t, it.Next(), "an open iterator outlives its transaction")
	require.Equal(t, `"q"`, fmt.Sprintf("%q", it.Value()))
	require.NoError(t, it.Close())
	story(t, db, `
		get m = x,y,z
		get p = q
		get a = later
		get zz = later
		get b !notfound`)
}

// TestSavepoints: they nest, and what an open iterator saw stays when the writes are cut off
// and others take their place.
func TestSavepoints(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, mergeOptions())
	tx, err := db.Begin(SnapshotIsolation)
	require.NoError(t, err)
	require.NoError(t, tx.Put([]byte("a"), []byte("kept")))
	outer := tx.Savepoint()
	require.NoError(t, tx.Put([]byte("a"), []byte("gone")))
	require.NoError(t, tx.Put([]byte("b"), []byte("gone")))
	inner := tx.Savepoint()
	require.NoError(t, tx.Merge([]byte("b"), []byte("too")))
	it, err := tx.Scan(ctx, nil, nil)
	require.NoError(t, err)
	require.NoError(t, tx.RollbackTo(inner))
	v, err := tx.Get(ctx, []byte("b"))
	require.NoError(t, err)
	require.Equal(t, "gone", string(v))
	require.NoError(t, tx.RollbackTo(outer))
	require.NoError(t, tx.Put([]byte("x"), []byte("xxxx")))
	require.NoError(t, tx.Put([]byte("y"), []byte("yyyy")))
	require.NoError(t, tx.Put([]byte("z"), []byte("zzzz")))
	var saw []string
	for k, v := range it.All() {
		saw = append(saw, string(k)+"="+string(v))
	}
	require.NoError(t, it.Close())
	require.Equal(t, []string{"a=gone", "b=gone,too"}, saw)
	require.ErrorIs(t, tx.RollbackTo(inner), ErrInvalid, "it was rolled back over")
	require.NoError(t, tx.RollbackTo(outer), "again")
	require.ErrorIs(t, tx.RollbackTo(Savepoint{}), ErrInvalid)
	other, err := db.Begin(SnapshotIsolation)
	require.NoError(t, err)
	require.ErrorIs(t, other.RollbackTo(outer), ErrInvalid)
	other.Rollback()
	require.NoError(t, tx.Commit(ctx))
	require.Equal(t, []string{`"a"="kept"@1`}, entryStrings(scanRows(t, db, All, nil)))
}

// TestTxnTTLCountsFromCommit: the time in the buffer does not count.
func TestTxnTTLCountsFromCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		db, err := Open(ctx, "db", testOptions())
		require.NoError(t, err)
		defer db.Close(ctx)
		tx, err := db.Begin(SnapshotIsolation)
		require.NoError(t, err)
		require.NoError(t, tx.PutWithOptions([]byte("k"), []byte("v"), &PutOptions{TTL: time.Minute}))
		time.Sleep(time.Hour)
		_, err = tx.Get(ctx, []byte("k"))
		require.NoError(t, err)
		at := time.Now()
		require.NoError(t, tx.Commit(ctx))
		e, err := db.GetEntry(ctx, []byte("k"), nil)
		require.NoError(t, err)
		require.Equal(t, at.Add(time.Minute).UnixMilli(), e.ExpireTime.UnixMilli())
		time.Sleep(2 * time.Minute)
		_, err = db.Get(ctx, []byte("k"))
		require.ErrorIs(t, err, ErrNotFound)
	})
}

func TestUpdate(t *testing.T) {
	ctx := context.Background()
	k := []byte("k")
	t.Run("counts", func(t *testing.T) {
		for _, level := range []IsolationLevel{SnapshotIsolation, SerializableSnapshot} {
			db := openTest(t, testOptions())
			var wg sync.WaitGroup
			var tries atomic.Int64
			for range 8 {
				wg.Go(func() {
					for range 25 {
						assert.NoError(t, db.Update(ctx, level, func(tx *Txn) error {
							tries.Add(1)
							v, err := tx.Get(ctx, k)
							if err != nil && !errors.Is(err, ErrNotFound) {
								return err
							}
							return tx.Put(k, append(v, '+'))
						}))
					}
				})
			}
			wg.Wait()
			v, err := db.Get(ctx, k)
			require.NoError(t, err)
			require.Len(t, v, 200)
			require.GreaterOrEqual(t, tries.Load(), int64(200))
			require.Zero(t, db.conflicts.windows.n)
			require.Zero(t, db.conflicts.count)
		}
	})
	t.Run("an error of f comes back as it is", func(t *testing.T) {
		db := openTest(t, testOptions())
		for _, want := range []error{errors.New("mine"), ErrConflict, &conflictError{}} {
			calls := 0
			err := db.Update(ctx, SnapshotIsolation, func(tx *Txn) error {
				calls++
				require.NoError(t, tx.Put(k, nil))
				return want
			})
			require.True(t, err == want)
			require.Equal(t, 1, calls)
		}
		_, err := db.Get(ctx, k)
		require.ErrorIs(t, err, ErrNotFound)
	})
	t.Run("f may not finish it", func(t *testing.T) {
		db := openTest(t, testOptions())
		require.ErrorIs(t, db.Update(ctx, SnapshotIsolation, func(tx *Txn) error { return tx.Commit(ctx) }), ErrInvalid)
		require.ErrorIs(t, db.Update(ctx, SnapshotIsolation, func(tx *Txn) error { tx.Rollback(); return nil }), ErrInvalid)
		require.Panics(t, func() { _ = db.Update(ctx, SnapshotIsolation, func(*Txn) error { panic("f") }) })
		require.Zero(t, db.liveTxns.Load(), "a panic rolls back")
	})
	t.Run("until ctx ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			db, err := Open(ctx, "db", testOptions())
			require.NoError(t, err)
			defer db.Close(ctx)
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			tries := 0
			err = db.Update(short, SnapshotIsolation, func(tx *Txn) error {
				tries++
				_, err := db.PutWithOptions(ctx, k, nil, &PutOptions{NoWait: true}) // always first
				require.NoError(t, err)
				return tx.Put(k, nil)
			})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotErrorIs(t, err, ErrConflict)
			require.Greater(t, tries, 10)
			require.Less(t, tries, 500, "there are pauses")
			require.Zero(t, db.liveTxns.Load())
		})
	})
}
