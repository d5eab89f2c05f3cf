package gc_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/gc"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

const rows = 60

var quiet = slog.New(slog.DiscardHandler)

func key(i int) []byte { return fmt.Appendf(nil, "key-%03d", i) }

// value is about half a block, so that a scan has something left to fetch.
func value(round, i int) []byte { return fmt.Appendf(nil, "value-%d-%d%2000d", round, i, i) }

// open opens the database at db without caches, so that a missing object shows at once, and
// without a collector: the test has its own.
func open(t *testing.T, s objstore.Store) *slatedb.DB {
	t.Helper()
	db, err := slatedb.Open(t.Context(), "db", &slatedb.Options{
		Store: s, Logger: quiet, DisableGC: true, BlockCacheBytes: -1, MetaCacheBytes: -1,
	})
	require.NoError(t, err)
	return db
}

func reader(t *testing.T, s objstore.Store, ck slatedb.Checkpoint) *slatedb.Reader {
	t.Helper()
	r, err := slatedb.OpenReader(t.Context(), "db", &slatedb.ReaderOptions{
		Store: s, Logger: quiet, CheckpointID: ck.ID, BlockCacheBytes: -1, MetaCacheBytes: -1,
	})
	require.NoError(t, err)
	return r
}

// collect makes a pass as another process would, without a minimum age.
func collect(t *testing.T, s objstore.Store) gc.Report {
	t.Helper()
	c := gc.New(gc.Config{Objects: s, Root: "db", Env: seam.New(seam.Env{}), Logger: quiet}, gc.Options{MinAge: -1, DeleteWALFences: true})
	rep, err := c.RunOnce(t.Context())
	require.NoError(t, err)
	return rep
}

// fill overwrites every row, half in one table and half in the other.
func fill(t *testing.T, db *slatedb.DB, round int) {
	t.Helper()
	for half := range 2 {
		var b slatedb.WriteBatch
		for i := half; i < rows; i += 2 {
			b.Put(key(i), value(round, i))
		}
		require.NoError(t, db.Write(t.Context(), &b))
		require.NoError(t, db.FlushWithOptions(t.Context(), &slatedb.FlushOptions{Type: slatedb.FlushMemtable}))
	}
}

func holds(t *testing.T, r slatedb.ReadOps, round int) {
	t.Helper()
	n := 0
	for e, err := range r.Entries(t.Context(), slatedb.All, nil) {
		require.NoError(t, err)
		require.Equal(t, string(key(n)), string(e.Key))
		require.Equal(t, string(value(round, n)), string(e.Value))
		n++
	}
	require.Equal(t, rows, n)
	v, err := r.Get(t.Context(), key(rows/2))
	require.NoError(t, err)
	require.Equal(t, string(value(round, rows/2)), string(v))
}

func count(t *testing.T, s objstore.Store, prefix string) (n int) {
	t.Helper()
	for _, err := range s.List(t.Context(), prefix, "") {
		require.NoError(t, err)
		n++
	}
	return n
}

func stop(t *testing.T, close func(context.Context) error) {
	t.Helper()
	require.NoError(t, close(context.Background()))
}

// churn rewrites everything and collects what is left of the round before.
func churn(t *testing.T, db *slatedb.DB, s objstore.Store, round int) {
	t.Helper()
	fill(t, db, round)
	time.Sleep(time.Second)
	require.NoError(t, db.Compact(t.Context()))
	time.Sleep(16 * time.Minute) // beyond the compactor's checkpoint
	require.NoError(t, db.Put(t.Context(), key(0), value(round, 0)))
	require.NoError(t, db.FlushWithOptions(t.Context(), &slatedb.FlushOptions{Type: slatedb.FlushMemtable}))
	time.Sleep(time.Second)
	require.NotEmpty(t, collect(t, s).Deleted)
}

func TestPinnedReaderKeepsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := objstore.NewMemory()
		db := open(t, s)
		fill(t, db, 1)
		require.NoError(t, db.Put(t.Context(), key(7), value(1, 7))) // in the log only
		ck, err := db.CreateCheckpoint(t.Context(), slatedb.CheckpointDurable, nil)
		require.NoError(t, err)
		r := reader(t, s, ck)
		holds(t, r, 1)
		for round := 2; round < 6; round++ {
			churn(t, db, s, round)
			holds(t, r, 1)
			fresh := reader(t, s, ck)
			holds(t, fresh, 1)
			stop(t, fresh.Close)
			holds(t, db, round)
		}

		// Without the checkpoint its objects go, and the reader says so.
		before := count(t, s, "db/compacted/")
		admin, err := slatedb.NewAdmin("db", &slatedb.AdminOptions{Store: s, Logger: quiet})
		require.NoError(t, err)
		require.NoError(t, admin.DeleteCheckpoint(t.Context(), ck.ID))
		require.NoError(t, admin.Close())
		collect(t, s)
		assert.Less(t, count(t, s, "db/compacted/"), before)
		_, err = r.Get(t.Context(), key(1))
		require.Error(t, err)
		assert.NotErrorIs(t, err, slatedb.ErrNotFound)
		holds(t, db, 5)
		stop(t, r.Close)
		stop(t, db.Close)
		db = open(t, s)
		holds(t, db, 5)
		stop(t, db.Close)
	})
}

// A scan is open while compactions and passes without a minimum age go on for longer than three
// lifetimes of the compactor's checkpoints.
func TestD1_ScanOutlivesThreeCheckpointLifetimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := faulty.New(objstore.NewMemory(), nil)
		db := open(t, s)
		fill(t, db, 1)
		it, err := db.ScanWithOptions(t.Context(), slatedb.All, &slatedb.ScanOptions{ReadAheadBytes: 1})
		require.NoError(t, err)
		n := 0
		step := func(upTo int) {
			t.Helper()
			for ; n < upTo; n++ {
				require.True(t, it.Next(), "at %d: %v", n, it.Err())
				require.Equal(t, string(key(n)), string(it.Key()))
				require.Equal(t, string(value(1, n)), string(it.Value()))
			}
		}
		step(10)
		for round := 2; round < 6; round++ {
			churn(t, db, s, round)
			before := s.Count("read")
			step(10 * round)
			require.Greater(t, s.Count("read"), before, "it had nothing left to fetch")
		}
		step(rows)
		require.False(t, it.Next())
		require.NoError(t, it.Close())
		holds(t, db, 5)
		stop(t, db.Close)
	})
}

// Writers fence each other, leave what they had not published, and are collected after. What
// was durable is there, and the number of objects does not grow.
func TestD9_FencedWritersLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := objstore.NewMemory()
		var fenced []*slatedb.DB
		var sizes []int
		for round := 1; round <= 5; round++ {
			db := open(t, s)
			if round > 1 {
				holds(t, db, round-1)
			}
			churn(t, db, s, round)
			fenced = append(fenced, db)
			sizes = append(sizes, count(t, s, "db/"))
		}
		for _, db := range fenced {
			_ = db.Close(t.Context())
		}
		assert.LessOrEqual(t, sizes[4], sizes[2], "%v", sizes)
		db := open(t, s)
		holds(t, db, 5)
		stop(t, db.Close)
	})
}
