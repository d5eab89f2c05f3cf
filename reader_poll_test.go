package slatedb

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
)

// TestReaderPollsGoQuiet: a reader that was given no interval asks seldom while nothing
// happens, sees what happens then within its slowest look, and is quick again after it. One
// that was given an interval keeps it.
func TestReaderPollsGoQuiet(t *testing.T) {
	for _, c := range []struct {
		name       string
		o          ReaderOptions
		busy, idle time.Duration // between two looks
		looks      float64       // most requests of an idle hour
		puts       float64       // most writes in it
	}{
		{"managed", ReaderOptions{}, 10 * time.Second, time.Minute, 210, 12},
		{"following", ReaderOptions{Mode: FollowLatest}, 10 * time.Second, time.Minute, 210, 0},
		{"a short lease", ReaderOptions{CheckpointLifetime: 2 * time.Minute}, 10 * time.Second, 20 * time.Second, 700, 70},
		{"the shortest lease", ReaderOptions{CheckpointLifetime: 20 * time.Second}, 10 * time.Second, 10 * time.Second, 2000, 361},
		{"an interval of its own", ReaderOptions{PollInterval: 5 * time.Second}, 5 * time.Second, 5 * time.Second, 2400, 12},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, s := t.Context(), objstore.NewMemory()
				db, err := Open(ctx, "db", &Options{Store: s, Logger: cloudQuiet(), DisableCompactor: true, DisableGC: true})
				require.NoError(t, err)
				defer db.Close(ctx)
				c.o.Store, c.o.Logger = s, cloudQuiet()
				r, err := OpenReader(ctx, "db", &c.o)
				require.NoError(t, err)
				defer r.Close(ctx)

				time.Sleep(10 * time.Minute)
				_, before := cloudRequests(r.Metrics())
				puts := func() float64 {
					n := 0.0
					for x := range r.Metrics().All() {
						if x.Name == "slatedb.object_store.request_count" && x.Labels[3] == "put" {
							n += x.Value
						}
					}
					return n
				}
				wrote := puts()
				time.Sleep(time.Hour)
				_, after := cloudRequests(r.Metrics())
				assert.LessOrEqual(t, after-before, c.looks, "requests of an idle hour")
				assert.LessOrEqual(t, puts()-wrote, c.puts, "writes of an idle hour")
				assert.GreaterOrEqual(t, after-before, float64(time.Hour/c.idle-1), "it still looks")

				// How long a write takes to be seen: the first after the silence, and those behind it.
				for i, bound := range []time.Duration{c.idle, c.busy, c.busy, c.busy, c.busy} {
					key := fmt.Appendf(nil, "k%02d", i)
					require.NoError(t, db.Put(ctx, key, []byte("v")))
					written := time.Now()
					for err = ErrNotFound; err != nil && time.Since(written) <= bound+10*time.Millisecond; time.Sleep(time.Millisecond) {
						_, err = r.Get(ctx, key)
					}
					require.NoError(t, err, "write %d after %v", i, bound)
					if i > 0 {
						time.Sleep(c.busy * 4) // not yet silence
					}
				}
				require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
				time.Sleep(2*time.Hour + c.idle)
				require.NoError(t, r.Refresh(ctx))
				assert.Equal(t, db.Status().DurableSeq, r.Status().DurableSeq)
				if r.mode == ManagedCheckpoint {
					// The lease has held all the time: the collector finds it in the manifest.
					m, err := r.manifests.Latest(ctx)
					require.NoError(t, err)
					ck := m.Checkpoint(r.leases.current())
					require.NotNil(t, ck)
					assert.True(t, ck.ExpireTime.After(time.Now()))
				}
			})
		})
	}
}

// TestReaderLeaseOutlastsQuietLooks: whatever its lifetime, the checkpoint of a reader that
// looks seldom is never near its end.
func TestReaderLeaseOutlastsQuietLooks(t *testing.T) {
	for _, life := range []time.Duration{20 * time.Second, 61 * time.Second, 3 * time.Minute, 10 * time.Minute, 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			ctx, s := t.Context(), objstore.NewMemory()
			db, err := Open(ctx, "db", &Options{Store: s, Logger: cloudQuiet(), DisableCompactor: true, DisableGC: true})
			require.NoError(t, err)
			require.NoError(t, db.Close(ctx))
			r, err := OpenReader(ctx, "db", &ReaderOptions{Store: s, Logger: cloudQuiet(), CheckpointLifetime: life})
			require.NoError(t, err)
			defer r.Close(ctx)
			id := r.leases.current()
			for range 50 {
				time.Sleep(life / 7)
				m, err := r.manifests.Latest(ctx)
				require.NoError(t, err)
				ck := m.Checkpoint(id)
				require.NotNil(t, ck, "life %v", life)
				assert.Greater(t, time.Until(ck.ExpireTime), life/5, "life %v", life)
			}
			assert.Equal(t, id, r.leases.current())
		})
	}
}
