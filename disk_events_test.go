package slatedb

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/memfs"
)

// TestDiskEvents: a listener is told once when the disk begins to fail and once when it works
// again, of the cache and of the mirror, also of a failure before it listened; and no answer
// changes.
func TestDiskEvents(t *testing.T) {
	for _, mirror := range []bool{false, true} {
		t.Run(fmt.Sprintf("mirror=%v", mirror), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newDiskWorld(t, DiskCacheOptions{MaxBytes: 8 << 20, PartBytes: 4 << 10, OnFlush: true, Mirror: mirror})
				told := make(chan DiskTrouble, 64)
				open := func() {
					o := w.options()
					o.Clock = nil
					o.EventListener.Disk = func(d DiskTrouble) {
						told <- d
						panic("a listener may")
					}
					db, err := Open(t.Context(), "db", o)
					require.NoError(t, err)
					w.db = db
				}
				var full atomic.Bool
				w.fs.Hook(func(op memfs.Op) memfs.Verdict {
					if full.Load() && (op.Kind == "write" || op.Kind == "create") {
						return memfs.Verdict{Err: memfs.ErrFull}
					}
					return memfs.Verdict{}
				})
				open()
				w.fill("a", 30)
				time.Sleep(10 * time.Minute)
				require.Empty(t, told, "nothing has failed")

				full.Store(true)
				for i := range 5 {
					w.fill(fmt.Sprint("b", i), 30)
					time.Sleep(2 * time.Minute)
				}
				require.Len(t, told, 1, "one for all of it")
				d := <-told
				assert.True(t, d.Failing)
				assert.NotEmpty(t, d.Dir)
				assert.NotEmpty(t, d.Op)
				require.ErrorIs(t, d.Err, memfs.ErrFull)
				w.check(w.db)()

				if !mirror { // a second handle on the directory hears of it at once
					first := w.db
					w.db = nil
					open()
					time.Sleep(time.Second)
					require.Len(t, told, 1)
					assert.True(t, (<-told).Failing)
					_ = first.Close(t.Context())
				}

				full.Store(false)
				time.Sleep(2 * time.Minute)
				w.fill("c", 30)
				time.Sleep(2 * time.Minute)
				require.Len(t, told, 1)
				d = <-told
				assert.False(t, d.Failing)
				assert.NoError(t, d.Err)
				w.check(w.db)()
				w.close()
				require.Empty(t, told)
			})
		})
	}
}
