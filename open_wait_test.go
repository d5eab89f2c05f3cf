package slatedb

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore/delay"
)

// TestReopenFetchesTheLogWhileItClaims: what an opening waits for does not grow with the log as
// long as its objects come beside the claim. The clock is fake, so the time is that of
// requests that wait for each other: list and read the manifest and its boundary, find the end
// of the log in one to three rounds, claim (40 ms) and confirm, fence (40 ms), two reads to confirm.
func TestReopenFetchesTheLogWhileItClaims(t *testing.T) {
	for _, c := range []struct {
		objects int
		within  time.Duration
	}{{0, 220 * time.Millisecond}, {12, 240 * time.Millisecond}, {30, 260 * time.Millisecond}} {
		synctest.Test(t, func(t *testing.T) {
			ctx := context.Background()
			o := testOptions()
			inner := o.Store
			o.FlushInterval = -1
			db, err := Open(ctx, "db", o)
			require.NoError(t, err)
			for i := range c.objects {
				_, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "%02d", i), []byte("v"), &PutOptions{NoWait: true})
				require.NoError(t, err)
				require.NoError(t, db.Flush(ctx))
			}
			require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush}))

			const get, put = 20 * time.Millisecond, 40 * time.Millisecond
			o.Store = delay.New(inner, delay.Options{Get: get, Put: put, List: get})
			o.SkipProbe = true
			begin := time.Now()
			db, err = Open(ctx, "db", o)
			require.NoError(t, err)
			defer sceneAbandon(db)
			require.LessOrEqual(t, time.Since(begin), c.within, "%d objects", c.objects)
			for i := range c.objects {
				v, err := db.Get(ctx, fmt.Appendf(nil, "%02d", i))
				require.NoError(t, err)
				require.Equal(t, "v", string(v))
			}
			require.NoError(t, db.Close(ctx))
		})
	}
}

// TestTheLogThatGrowsWhileItIsClaimedIsReplayed: objects that the old writer stores between the
// search for the end of the log and the fence are replayed with the others, as are those that
// are left when the replay point moves on in between.
func TestTheLogThatGrowsWhileItIsClaimedIsReplayed(t *testing.T) {
	for _, flush := range []bool{false, true} {
		ctx := context.Background()
		o := testOptions()
		o.FlushInterval = -1
		old := openTest(t, o)
		n := 0
		put := func() {
			n++
			_, err := old.PutWithOptions(ctx, fmt.Appendf(nil, "%02d", n), []byte("v"), &PutOptions{NoWait: true})
			require.NoError(t, err)
			require.NoError(t, old.Flush(ctx))
		}
		for range 10 {
			put()
		}
		second := *o
		second.onPoint = func(name string) {
			if name == "open.before-claim" {
				put()
				if flush {
					require.NoError(t, old.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
				}
				put()
			}
		}
		db := openTest(t, &second)
		for i := 1; i <= n; i++ {
			_, err := db.Get(ctx, fmt.Appendf(nil, "%02d", i))
			require.NoError(t, err, "%d of %d, flush %v", i, n, flush)
		}
		require.Equal(t, 12, n)
	}
}
