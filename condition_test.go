package slatedb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConditions(t *testing.T) {
	ctx := context.Background()
	k := []byte("k")
	states := []struct {
		name string
		make func(t *testing.T, db *DB)
		// which conditions hold
		absent, value, seq bool
	}{
		{"never written", func(*testing.T, *DB) {}, true, false, false},
		{"present", func(t *testing.T, db *DB) { require.NoError(t, db.Put(ctx, k, []byte("v"))) }, false, true, true},
		{"another value", func(t *testing.T, db *DB) { require.NoError(t, db.Put(ctx, k, []byte("w"))) }, false, false, true},
		{"another seq", func(t *testing.T, db *DB) {
			require.NoError(t, db.Put(ctx, k, []byte("w")))
			require.NoError(t, db.Put(ctx, k, []byte("v")))
		}, false, true, false},
		{"deleted", func(t *testing.T, db *DB) {
			require.NoError(t, db.Put(ctx, k, []byte("v")))
			require.NoError(t, db.Delete(ctx, k))
		}, true, false, false},
		{"expired", func(t *testing.T, db *DB) {
			_, err := db.PutWithOptions(ctx, k, []byte("v"), &PutOptions{ExpireAt: time.UnixMilli(1)})
			require.NoError(t, err)
		}, true, false, false},
		{"merged", func(t *testing.T, db *DB) { require.NoError(t, db.Merge(ctx, k, []byte("v"))) }, false, true, true},
	}
	for _, st := range states {
		for _, flush := range []bool{false, true} {
			for _, del := range []bool{false, true} {
				for _, c := range []struct {
					c    Condition
					hold bool
				}{{Absent(), st.absent}, {Present(), !st.absent}, {ValueIs([]byte("v")), st.value}, {SeqIs(1), st.seq}, {SeqIs(0), false}} {
					t.Run(fmt.Sprintf("%s/flush=%v/del=%v/%v", st.name, flush, del, c.c), func(t *testing.T) {
						db := openTest(t, mergeOptions())
						st.make(t, db)
						if flush {
							flushMem(t, db)
						}
						before, rows := db.Status().CommittedSeq, entryStrings(scanRows(t, db, All, nil))
						var h WriteHandle
						var err error
						if del {
							h, err = db.DeleteIf(ctx, k, c.c, nil)
						} else {
							h, err = db.PutIf(ctx, k, []byte("new"), c.c, nil)
						}
						require.Zero(t, db.conflicts.windows.n)
						if !c.hold {
							require.ErrorIs(t, err, ErrConditionFailed)
							require.Equal(t, before, db.Status().CommittedSeq)
							require.Equal(t, rows, entryStrings(scanRows(t, db, All, nil)))
							return
						}
						require.NoError(t, err)
						require.Equal(t, before+1, h.Seq())
						require.GreaterOrEqual(t, db.Status().DurableSeq, h.Seq())
						v, err := db.Get(ctx, k)
						if del {
							require.ErrorIs(t, err, ErrNotFound)
						} else {
							require.NoError(t, err)
							require.Equal(t, "new", string(v))
						}
					})
				}
			}
		}
	}
}

func TestConditionArguments(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, testOptions())
	_, err := db.PutIf(ctx, []byte("k"), nil, Condition{}, nil)
	require.ErrorIs(t, err, ErrInvalid)
	_, err = db.PutIf(ctx, nil, nil, Absent(), nil)
	require.ErrorIs(t, err, ErrInvalid)
	_, err = db.DeleteIf(ctx, nil, Present(), nil)
	require.ErrorIs(t, err, ErrInvalid)
	v := []byte("v")
	c := ValueIs(v)
	v[0] = 'x'
	require.NoError(t, db.Put(ctx, []byte("k"), []byte("v")))
	h, err := db.PutIf(ctx, []byte("k"), nil, c, &PutOptions{NoWait: true, Seq: 50, TTL: time.Hour})
	require.NoError(t, err)
	require.EqualValues(t, 50, h.Seq())
	require.NoError(t, h.Await(ctx))
	e, err := db.GetEntry(ctx, []byte("k"), nil)
	require.NoError(t, err)
	require.Equal(t, h.CreateTime().Add(time.Hour), e.ExpireTime)
	_, err = db.PutIf(ctx, []byte("k"), nil, ValueIs(nil), nil)
	require.NoError(t, err, "nil is the empty value")
	done, cancel := context.WithCancel(ctx)
	cancel()
	_, err = db.PutIf(done, []byte("k"), nil, Present(), nil)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, db.conflicts.windows.n)
}

// TestConditionSeesWhatComesBetween: a write between the look and the commit is seen.
func TestConditionSeesWhatComesBetween(t *testing.T) {
	ctx := context.Background()
	k := []byte("k")
	for _, tt := range []struct {
		name    string
		c       Condition
		between func(db *DB) error
		want    error
		tries   int32
	}{
		{"the key appears", Absent(), func(db *DB) error { return db.Put(ctx, k, nil) }, ErrConditionFailed, 1},
		{"it is unmarked by nobody: another key", Absent(), func(db *DB) error { return db.Put(ctx, []byte("j"), nil) }, nil, 1},
		{"it appears and goes", Absent(), func(db *DB) error { return errors.Join(db.Put(ctx, k, nil), db.Delete(ctx, k)) }, nil, 2},
		{"a transaction", Absent(), func(db *DB) error {
			return db.Update(ctx, SnapshotIsolation, func(tx *Txn) error { return tx.Put(k, nil) })
		}, ErrConditionFailed, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var db *DB
			var looks atomic.Int32
			o := testOptions()
			o.onPoint = func(p string) {
				if p == "condition.after-read" && looks.Add(1) == 1 {
					require.NoError(t, tt.between(db))
				}
			}
			db = openTest(t, o)
			_, err := db.PutIf(ctx, k, []byte("mine"), tt.c, nil)
			require.ErrorIs(t, err, tt.want)
			require.Equal(t, tt.tries, looks.Load())
			if tt.want == nil {
				v, err := db.Get(ctx, k)
				require.NoError(t, err)
				require.Equal(t, "mine", string(v))
			}
		})
	}
}

// TestConditionRaces: of many who want a key absent one wins, and a counter kept by SeqIs or
// ValueIs loses nothing.
func TestConditionRaces(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	o.L0SSTSizeBytes = 4 << 10
	db := openTest(t, o)
	nowait := &PutOptions{NoWait: true}
	t.Run("Absent", func(t *testing.T) {
		for round := range 50 {
			k := fmt.Appendf(nil, "lock%d", round)
			var wg sync.WaitGroup
			var won atomic.Int32
			for i := range 8 {
				wg.Go(func() {
					_, err := db.PutIf(ctx, k, fmt.Appendf(nil, "%d", i), Absent(), nowait)
					if err == nil {
						won.Add(1)
					} else {
						assert.ErrorIs(t, err, ErrConditionFailed)
					}
				})
			}
			wg.Wait()
			require.EqualValues(t, 1, won.Load())
		}
	})
	for _, by := range []string{"SeqIs", "ValueIs"} {
		t.Run(by, func(t *testing.T) {
			k := []byte("counter" + by)
			var wg sync.WaitGroup
			for range 6 {
				wg.Go(func() {
					for done := 0; done < 50; {
						c, n := Absent(), uint64(0)
						e, err := db.GetEntry(ctx, k, nil)
						if err == nil {
							n = binary.BigEndian.Uint64(e.Value)
							if c = SeqIs(e.Seq); by == "ValueIs" {
								c = ValueIs(e.Value)
							}
						} else if !assert.ErrorIs(t, err, ErrNotFound) {
							return
						}
						_, err = db.PutIf(ctx, k, binary.BigEndian.AppendUint64(nil, n+1), c, nowait)
						if err == nil {
							done++
						} else if !assert.ErrorIs(t, err, ErrConditionFailed) {
							return
						}
					}
				})
			}
			wg.Wait()
			v, err := db.Get(ctx, k)
			require.NoError(t, err)
			require.EqualValues(t, 300, binary.BigEndian.Uint64(v))
		})
	}
	require.Zero(t, db.conflicts.windows.n)
	require.Zero(t, db.conflicts.count)
}

// TestConditionAndExpiry: time makes a key absent without a write.
func TestConditionAndExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		db, err := Open(ctx, "db", testOptions())
		require.NoError(t, err)
		defer db.Close(ctx)
		lease := &PutOptions{TTL: time.Minute}
		_, err = db.PutIf(ctx, []byte("k"), []byte("me"), Absent(), lease)
		require.NoError(t, err)
		_, err = db.PutIf(ctx, []byte("k"), []byte("you"), Absent(), lease)
		require.ErrorIs(t, err, ErrConditionFailed)
		time.Sleep(time.Minute)
		_, err = db.PutIf(ctx, []byte("k"), []byte("you"), Absent(), lease)
		require.NoError(t, err)
	})
}

// TestTxnAllocations: a plain write pays for transactions only while one is open.
func TestTxnAllocations(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	o.FlushInterval = -1
	db := openTest(t, o)
	keys := make([][]byte, 256)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "%032d", i)
	}
	val, nowait, i := make([]byte, 100), &PutOptions{NoWait: true}, 0
	put := func() {
		if _, err := db.PutWithOptions(ctx, keys[i%len(keys)], val, nowait); err != nil {
			t.Fatal(err)
		}
		i++
	}
	require.LessOrEqual(t, testing.AllocsPerRun(5000, put), 1.0, "no transaction")
	s, err := db.Snapshot()
	require.NoError(t, err)
	require.LessOrEqual(t, testing.AllocsPerRun(5000, put), 1.0, "snapshots record nothing")
	require.NoError(t, s.Close())
	tx, err := db.Begin(SerializableSnapshot)
	require.NoError(t, err)
	put()
	require.LessOrEqual(t, testing.AllocsPerRun(5000, put), 1.0, "keys that are tracked already")
	require.Equal(t, 256, db.conflicts.count)
	tx.Rollback()
	require.LessOrEqual(t, testing.AllocsPerRun(5000, put), 1.0, "after it")
	require.Zero(t, db.conflicts.count)
	dst := make([]byte, 0, 200)
	s, err = db.Snapshot()
	require.NoError(t, err)
	defer s.Close()
	require.Zero(t, testing.AllocsPerRun(5000, func() {
		if _, err := s.AppendGet(ctx, dst, keys[7], nil); err != nil {
			t.Fatal(err)
		}
	}), "AppendGet of a snapshot")
	tx, err = db.Begin(SerializableSnapshot)
	require.NoError(t, err)
	defer tx.Rollback()
	require.Zero(t, testing.AllocsPerRun(5000, func() {
		if _, err := tx.AppendGet(ctx, dst, keys[7], nil); err != nil {
			t.Fatal(err)
		}
	}), "AppendGet of a transaction, the key noted already")
}

func BenchmarkTxn(b *testing.B) {
	ctx := context.Background()
	o := testOptions()
	o.FlushInterval = -1
	o.MaxUnflushedBytes = 1 << 30
	db := openTest(b, o)
	keys := make([][]byte, 100_000)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "user/%012d", i*7919%100_000)
		if _, err := db.PutWithOptions(ctx, keys[i], make([]byte, 100), &PutOptions{NoWait: true}); err != nil {
			b.Fatal(err)
		}
	}
	val, nowait := make([]byte, 100), &PutOptions{NoWait: true}
	i := 0
	put := func() {
		i++
		if _, err := db.PutWithOptions(ctx, keys[i%len(keys)], val, nowait); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("op=put/txn=none", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			put()
		}
	})
	b.Run("op=put/txn=open", func(b *testing.B) {
		tx, err := db.Begin(SnapshotIsolation)
		if err != nil {
			b.Fatal(err)
		}
		defer tx.Rollback()
		b.ReportAllocs()
		for b.Loop() {
			put()
		}
	})
	for _, level := range []IsolationLevel{SnapshotIsolation, SerializableSnapshot} {
		b.Run(fmt.Sprintf("op=get+put/level=%v", level), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				i++
				tx, err := db.Begin(level)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := tx.Get(ctx, keys[i%len(keys)]); err != nil {
					b.Fatal(err)
				}
				if err := tx.Put(keys[i%len(keys)], val); err != nil {
					b.Fatal(err)
				}
				if _, err := tx.CommitWithOptions(ctx, &WriteOptions{NoWait: true}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("op=putif", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			i++
			if _, err := db.PutIf(ctx, keys[i%len(keys)], val, Present(), nowait); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("op=snapshot", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s, err := db.Snapshot()
			if err != nil {
				b.Fatal(err)
			}
			s.Close()
		}
	})
}
