package compactor

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
)

// Flushes come in while a coordinator with its worker runs: L0 stays small, reads are always
// right, at a snapshot too, and the job list ends with one finished job.
func TestCompactorKeepsUp(t *testing.T) {
	for _, merges := range []bool{false, true} {
		t.Run(fmt.Sprintf("merges=%v", merges), func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				c := New(w.config(w.store, 2), Options{Worker: &WorkerOptions{MaxSSTBytes: 1000, MinSubcompactionBytes: -1}})
				stop := w.start(c.Run)
				for i := range 60 {
					w.flush(w.batch(30, merges)...)
					if i == 25 {
						w.snapshot = w.seq
					}
					if i == 50 {
						w.snapshot = kv.MaxSeq
					}
					time.Sleep(1500 * time.Millisecond)
					w.check()
				}
				time.Sleep(time.Minute)
				w.check()
				m := w.latest()
				require.Less(t, len(m.Root.L0), 4)
				require.NotEmpty(t, m.Root.Runs)
				require.NotEmpty(t, m.Checkpoints)
				require.NoError(t, stop())
				list := w.list()
				require.Len(t, list.Jobs, 1)
				require.Equal(t, manifest.Completed, list.Jobs[0].Status)
				require.EqualValues(t, 1, list.CompactorEpoch)
			})
		})
	}
}

// An embedded compactor is woken by the writer, shares its manifests, and is quiet when there
// is nothing to do.
func TestEmbeddedIsQuietWhenIdle(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		counted := countingStore(w.store)
		wake := make(chan struct{}, 1)
		conf := w.config(counted, 2)
		w.man = conf.Manifests
		var err error
		_, err = w.man.Latest(context.Background())
		require.NoError(t, err)
		w.writer, err = w.man.AcquireWriter(context.Background(), manifest.AcquireOptions{})
		require.NoError(t, err)
		conf.Wake = wake
		var told []uint64
		conf.OnManifest = func(m *manifest.Manifest) { told = append(told, m.ID) }
		stop := w.start(New(conf, Options{}).Run)
		for range 4 {
			w.flush(w.batch(10, true)...)
			post(wake)
			synctest.Wait()
		}
		require.Len(t, w.latest().Root.Runs, 1, "done at once, without a poll")
		require.Equal(t, told[len(told)-1], w.latest().ID)
		w.check()
		time.Sleep(time.Minute) // calm down
		counted.Record(true)
		time.Sleep(10 * time.Minute)
		n := map[string]int{}
		for _, r := range counted.Log() {
			n[r.Method]++
		}
		require.LessOrEqual(t, n["get"]+n["head"], 2*41, "one look at the list each 15s")
		require.Zero(t, n["put"]+n["list"]+n["read"])
		require.NoError(t, stop())
	})
}

// Only the coordinator of the highest epoch goes on.
func TestTwoCoordinatorsOneIsFenced(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		first := make(chan error, 1)
		go func() { first <- New(w.config(w.store, 2), Options{}).Run(ctx) }()
		time.Sleep(time.Second)
		stop := w.start(New(w.config(w.store, 3), Options{}).Run)
		time.Sleep(20 * time.Second)
		require.ErrorIs(t, <-first, kv.ErrFenced)
		for range 4 {
			w.flush(w.batch(20, true)...)
		}
		time.Sleep(20 * time.Second)
		w.check()
		require.Len(t, w.latest().Root.Runs, 1)
		require.EqualValues(t, 2, w.latest().CompactorEpoch)
		require.NoError(t, stop())
	})
}

// Coordinator and workers in processes of their own.
func TestSeparateWorkers(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		stops := []func() error{
			w.start(NewWorker(w.config(w.store, 3), WorkerOptions{}).Run), // before there is a list
			w.start(New(w.config(w.store, 2), Options{DisableWorker: true}).Run),
			w.start(NewWorker(w.config(w.store, 4), WorkerOptions{MaxSSTBytes: 500, MinSubcompactionBytes: -1}).Run),
		}
		for range 20 {
			w.flush(w.batch(40, true)...)
			time.Sleep(3 * time.Second)
			w.check()
		}
		time.Sleep(time.Minute)
		w.check()
		require.Less(t, len(w.latest().Root.L0), 4)
		for _, stop := range stops {
			require.NoError(t, stop())
		}
	})
}

// A full compaction that was submitted leaves one run a tree; nothing that is deleted is left.
func TestSubmittedFullCompaction(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := New(w.config(w.store, 2), Options{})
		stop := w.start(c.Run)
		for range 9 {
			w.flush(w.batch(20, true)...)
			time.Sleep(5 * time.Second)
		}
		// Between two polls, when the coordinator has nothing of its own under way: it could
		// merge the sources first, and the job would be refused.
		time.Sleep(700 * time.Millisecond)
		synctest.Wait()
		for _, spec := range AllSpecs(w.latest(), w.list().Jobs) {
			j, err := c.Submit(context.Background(), spec)
			require.NoError(t, err)
			require.NoError(t, c.Await(context.Background(), j.ID))
		}
		m := w.latest()
		require.Empty(t, m.Root.L0)
		require.Len(t, m.Root.Runs, 1)
		require.Len(t, w.versions(m), len(w.model(w.seq)), "one row a live key")
		w.checkAt(m)
		j, err := c.Submit(context.Background(), manifest.Spec{Runs: []uint32{77}, Destination: 77})
		require.NoError(t, err)
		require.ErrorIs(t, c.Await(context.Background(), j.ID), kv.ErrInvalid)
		require.NoError(t, stop())
		require.ErrorIs(t, c.Await(context.Background(), w.env.ULID(1)), kv.ErrClosed)
	})
}
