package slatedb

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
)

// retriesStore fails every read below a folder from a moment on, and remembers when it was
// asked.
type retriesStore struct {
	objstore.Store
	folder string
	broken atomic.Bool
	mu     sync.Mutex
	asked  []time.Time
}

var errRetries = errors.New("the store is unwell")

func (s *retriesStore) fails(key string) bool {
	if !s.broken.Load() || !strings.Contains(key, s.folder) {
		return false
	}
	s.mu.Lock()
	s.asked = append(s.asked, time.Now())
	s.mu.Unlock()
	return true
}

func (s *retriesStore) Get(ctx context.Context, key string) (objstore.Object, error) {
	if s.fails(key) {
		return objstore.Object{}, errRetries
	}
	return s.Store.Get(ctx, key)
}

func (s *retriesStore) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Attributes, error] {
	if s.fails(prefix) {
		return func(yield func(objstore.Attributes, error) bool) { yield(objstore.Attributes{}, errRetries) }
	}
	return s.Store.List(ctx, prefix, after)
}

// bursts are the numbers of requests that came one behind the other, as the attempts at one
// request do; pauses of a role are longer.
func (s *retriesStore) bursts() (out []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, at := range s.asked {
		if i == 0 || at.Sub(s.asked[i-1]) > 3*time.Second {
			out = append(out, 0)
		}
		out[len(out)-1]++
	}
	return out
}

// TestRetriesOfARole: each role tries a request as often as its own option says, and else as
// often as the handle's.
func TestRetriesOfARole(t *testing.T) {
	const minute = time.Minute
	for name, c := range map[string]struct {
		folder string
		admin  func(ctx context.Context, a *Admin, retries int)
		db     func(retries int) *Options
	}{
		"embedded compactor": {folder: "compactions", db: func(n int) *Options {
			return &Options{Compactor: &CompactorOptions{MaxRetries: n, PollInterval: 20 * time.Second}, DisableGC: true}
		}},
		"embedded collector": {folder: "compacted", db: func(n int) *Options {
			return &Options{DisableCompactor: true, GC: &GCOptions{MaxRetries: n, Interval: minute, MinAge: -1}}
		}},
		"compactor": {folder: "compactions", admin: func(ctx context.Context, a *Admin, n int) {
			_ = a.RunCompactor(ctx, &CompactorOptions{MaxRetries: n, PollInterval: 20 * time.Second})
		}},
		"worker": {folder: "compactions", admin: func(ctx context.Context, a *Admin, n int) {
			_ = a.RunCompactionWorker(ctx, &WorkerOptions{MaxRetries: n, PollInterval: 20 * time.Second})
		}},
		"collector": {folder: "manifest", admin: func(ctx context.Context, a *Admin, n int) {
			_, err := a.RunGCOnce(ctx, &GCOptions{MaxRetries: n})
			if ctx.Err() == nil {
				assert.ErrorIs(t, err, ErrUnavailable)
			}
		}},
	} {
		for _, r := range []struct{ role, handle, want int }{{-1, 2, 1}, {2, -1, 3}, {0, -1, 1}, {0, 3, 4}, {0, 0, -1}} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &retriesStore{Store: objstore.NewMemory(), folder: c.folder}
					o := &Options{DisableCompactor: true, DisableGC: true}
					if c.db != nil {
						o = c.db(r.role)
					}
					o.Store, o.Logger, o.ManifestPollInterval, o.FlushInterval, o.MaxRetries = s, quiet, -1, -1, r.handle
					db, err := Open(t.Context(), "db", o)
					require.NoError(t, err)
					require.NoError(t, db.FlushWithOptions(t.Context(), &FlushOptions{Type: FlushMemtable}))
					synctest.Wait()
					s.broken.Store(true)
					if c.admin != nil {
						a, err := NewAdmin("db", &AdminOptions{Store: s, Logger: quiet, MaxRetries: r.handle})
						require.NoError(t, err)
						ctx, cancel := context.WithTimeout(t.Context(), 2*minute)
						c.admin(ctx, a, r.role)
						cancel()
						require.NoError(t, a.Close())
					} else {
						time.Sleep(3 * minute)
					}
					b := s.bursts()
					require.NotEmpty(t, b)
					one := b[len(b)/2] // the first of a role may hold several requests
					if r.want > 0 {
						assert.Equal(t, r.want, one, "%v", b)
					} else {
						assert.Greater(t, one, 50, "no bound: %v", b)
					}
					s.broken.Store(false)
					require.NoError(t, db.Close(t.Context()))
				})
			})
		}
	}
}

// TestNoRetries: a negative bound is none, for the handle itself.
func TestNoRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &retriesStore{Store: objstore.NewMemory(), folder: "manifest"}
		s.broken.Store(true)
		_, err := Open(t.Context(), "db", &Options{Store: s, Logger: quiet, MaxRetries: -1})
		require.ErrorIs(t, err, ErrUnavailable)
		assert.Equal(t, []int{1}, s.bursts())
	})
}
