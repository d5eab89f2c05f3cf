package slatedb

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// cfDropper drops rows of a prefix.
type cfDropper struct {
	prefix string
	seen   *atomic.Int32
	err    error
}

func (f cfDropper) Filter(row *Row) (CompactionDecision, error) {
	f.seen.Add(1)
	if bytes.HasPrefix(row.Key, []byte(f.prefix)) {
		return DropRow(), nil
	}
	return KeepRow(), f.err
}

func (cfDropper) OnEnd() error { return nil }

// The filter runs wherever compaction does: in the writer's process, by Options or by
// CompactorOptions, which win; in a compactor, and in a worker, of another process. It does not
// run when a memtable is flushed.
func TestCompactionFilterIsUsedEverywhere(t *testing.T) {
	for _, place := range []string{"options", "compactor options", "admin", "worker"} {
		t.Run(place, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.Background()
				var seen, other atomic.Int32
				supply := func(c CompactionFilterContext) (CompactionFilter, error) {
					if !c.LastRun || c.Segment != nil || c.Now.IsZero() || c.MinSnapshotSeq == 0 {
						return nil, errors.New("the context is not right")
					}
					return cfDropper{prefix: "drop/", seen: &seen}, nil
				}
				wrong := func(CompactionFilterContext) (CompactionFilter, error) {
					return cfDropper{prefix: "", seen: &other}, nil
				}
				o := testOptions()
				ao := &AdminOptions{Store: o.Store, Logger: quiet, CompactionFilter: supply}
				co := &CompactorOptions{}
				switch place {
				case "options":
					o.DisableCompactor, o.CompactionFilter = false, supply
				case "compactor options":
					o.DisableCompactor, o.CompactionFilter = false, wrong
					o.Compactor = &CompactorOptions{CompactionFilter: supply}
				case "worker":
					co.DisableWorker, co.CompactionFilter = true, wrong
				}
				db := openTest(t, o)
				a, err := NewAdmin("db", ao)
				require.NoError(t, err)
				run, stop := context.WithCancel(ctx)
				ended := make(chan error, 2)
				jobs := 0
				if place == "admin" || place == "worker" {
					jobs++
					go func() { ended <- a.RunCompactor(run, co) }()
				}
				if place == "worker" {
					jobs++
					go func() { ended <- a.RunCompactionWorker(run, nil) }()
				}
				putKeys(t, db, "drop/1", "keep/1")
				flushAll(t, db)
				require.Zero(t, seen.Load(), "not at a flush")
				require.Equal(t, []string{"drop/1", "keep/1"}, keysSeen(t, db))
				require.NoError(t, db.Compact(ctx))
				require.EqualValues(t, 2, seen.Load())
				require.Zero(t, other.Load())
				require.Equal(t, []string{"keep/1"}, keysSeen(t, db))
				if place == "options" {
					require.EqualValues(t, 1, metric(t, db.Metrics(), "slatedb.compactor.filtered_rows", "decision", "drop"))
				}
				stop()
				for range jobs {
					require.NoError(t, <-ended)
				}
				require.NoError(t, a.Close())
				closeAll(t, db)
				db = openTest(t, o)
				require.Equal(t, []string{"keep/1"}, keysSeen(t, db))
				closeAll(t, db)
			})
		})
	}
}

// A filter that fails for good stops compaction and nothing else: writes, reads, flushes and Close
// work.
func TestL1_FailingCompactionFilter(t *testing.T) {
	for _, panics := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx := context.Background()
			var seen atomic.Int32
			o := testOptions()
			o.DisableCompactor = false
			o.CompactionFilter = func(CompactionFilterContext) (CompactionFilter, error) {
				return cfDropper{prefix: "none", seen: &seen, err: errTrouble}, nil
			}
			if panics {
				o.CompactionFilter = func(CompactionFilterContext) (CompactionFilter, error) { seen.Add(1); panic("no") }
			}
			db := openTest(t, o)
			putKeys(t, db, "a")
			flushAll(t, db)
			short, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			require.ErrorIs(t, db.Compact(short), context.DeadlineExceeded)
			require.Greater(t, seen.Load(), int32(1), "it was tried again")
			require.NoError(t, db.Status().Err)
			putKeys(t, db, "b")
			flushAll(t, db)
			require.Equal(t, []string{"a", "b"}, keysSeen(t, db))
			closeAll(t, db)
		})
	}
}

// A filter that calls the database it filters blocks nothing: no lock is held around it.
func TestL1_ReenteringCompactionFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		var db *DB
		o := testOptions()
		o.DisableCompactor = false
		o.CompactionFilter = func(CompactionFilterContext) (CompactionFilter, error) {
			return cfCaller{func(row *Row) error {
				if _, err := db.Get(ctx, row.Key); err != nil {
					return err
				}
				_ = db.Metrics()
				return db.Put(ctx, append([]byte("seen/"), row.Key...), nil)
			}}, nil
		}
		db = openTest(t, o)
		putKeys(t, db, "a", "b")
		require.NoError(t, db.Compact(ctx))
		require.Equal(t, []string{"a", "b", "seen/a", "seen/b"}, keysSeen(t, db))
		closeAll(t, db)
	})
}

type cfCaller struct{ f func(*Row) error }

func (c cfCaller) Filter(row *Row) (CompactionDecision, error) { return KeepRow(), c.f(row) }
func (cfCaller) OnEnd() error                                  { return nil }
