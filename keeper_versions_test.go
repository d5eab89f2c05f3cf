package slatedb

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// keeperScene is a writer that follows the manifest only when it is told to, a compactor beside
// it whose checkpoints live a minute, and a collector every 10 s without a minimum age.
func keeperScene(t *testing.T) (db *DB, a *Admin, fill func(round int)) {
	ctx, cancel := context.WithCancel(context.Background())
	o := testOptions()
	o.ManifestPollInterval = -1
	o.Compactor = &CompactorOptions{CheckpointLifetime: time.Minute}
	o.BlockCacheBytes, o.MetaCacheBytes = -1, -1
	db, err := Open(ctx, "db", o)
	require.NoError(t, err)
	a = testAdmin(t, o.Store, "db")
	done := make(chan error, 2)
	go func() {
		done <- a.RunCompactor(ctx, &CompactorOptions{
			PollInterval: time.Second, CheckpointLifetime: time.Minute, SizeTiered: SizeTieredOptions{MinSources: 2},
		})
	}()
	go func() {
		for ctx.Err() == nil {
			time.Sleep(10 * time.Second)
			if _, err := a.RunGCOnce(ctx, &GCOptions{MinAge: -1}); err != nil && ctx.Err() == nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	t.Cleanup(func() {
		require.NoError(t, db.Close(context.Background()))
		cancel()
		for range 2 {
			require.NoError(t, <-done)
		}
	})
	return db, a, func(round int) {
		for half := range 2 {
			time.Sleep(10 * time.Millisecond) // tables have ages
			var b WriteBatch
			for i := half; i < 200; i += 2 {
				b.Put(fmt.Appendf(nil, "key-%04d", i), fmt.Appendf(nil, "%d-%0200d", round, i))
			}
			require.NoError(t, db.Write(ctx, &b))
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		}
	}
}

// readSlowly reads round 0 to its end, half an hour long.
func readSlowly(t *testing.T, it *Iterator) {
	t.Helper()
	for n := range 200 {
		require.True(t, it.Next(), "row %d: %v", n, it.Err())
		require.Equal(t, fmt.Sprintf("0-%0200d", n), string(it.Value()))
		time.Sleep(9 * time.Second)
	}
	require.False(t, it.Next())
	require.NoError(t, it.Close())
}

// The writer sees several versions at once, and the first checkpoint on one of them belongs to
// somebody who removes it. The scan is protected by that of the compaction all the same, and
// no checkpoint is put on a manifest that is gone, which would stop the collector.
func TestKeeperDoesNotRelyOnTheCheckpointsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		db, a, fill := keeperScene(t)
		fill(0)
		time.Sleep(10 * time.Second) // compacted, and not yet seen
		require.NoError(t, db.RefreshManifest(ctx))
		it, err := db.ScanWithOptions(ctx, All, &ScanOptions{ReadAheadBytes: 1})
		require.NoError(t, err)
		fill(1)
		other, err := a.CreateCheckpoint(ctx, &CheckpointOptions{Lifetime: time.Hour})
		require.NoError(t, err)
		time.Sleep(5 * time.Second) // a second run
		c, err := a.SubmitCompaction(ctx, CompactionRequest{Kind: CompactFull})
		require.NoError(t, err)
		require.NotEmpty(t, c.ID)
		c, err = a.AwaitCompaction(ctx, c.ID)
		require.NoError(t, err)
		require.NoError(t, c.Err)
		require.NoError(t, db.RefreshManifest(ctx))
		require.NoError(t, a.DeleteCheckpoint(ctx, other.ID))
		readSlowly(t, it)
	})
}

// A scan that loaded the state before a compaction and begins after it is protected too.
func TestKeeperSeesAScanThatBeginsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		db, _, fill := keeperScene(t)
		fill(0)
		v, err := db.view(DurabilityMemory, false)
		require.NoError(t, err)
		fill(1)
		require.NoError(t, db.Compact(ctx))
		it, err := v.scan(ctx, kv.Range{}, &ScanOptions{ReadAheadBytes: 1}, nil)
		require.NoError(t, err)
		readSlowly(t, it)
	})
}
