package slatedb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/cache"
)

// warmWorld is a database of several tables, read through a cache of its own.
func warmWorld(t *testing.T) (*DB, []string) {
	t.Helper()
	o := estOptions()
	o.BlockCache, o.BlockCacheBytes, o.MetaCacheBytes = cache.New(cache.Options{BlockBytes: 8 << 20, MetaBytes: 8 << 20}), 0, 0
	db := openTest(t, o)
	for i := range 4 {
		estFill(t, db, rand.New(rand.NewPCG(1, uint64(i))), 0, 600)
		estFlush(t, db)
	}
	var ids []string
	for v := range db.state.Load().man.Views() {
		ids = append(ids, v.Table.ID.String())
	}
	require.Len(t, ids, 4)
	for _, id := range ids {
		require.NoError(t, db.EvictSST(id))
	}
	return db, ids
}

func (h *handle) requestsOf(t *testing.T, f func()) uint64 {
	t.Helper()
	before := h.ssts.Stats().Requests
	f()
	return h.ssts.Stats().Requests - before
}

func TestWarmAndEvict(t *testing.T) {
	ctx := context.Background()
	db, ids := warmWorld(t)
	newest := ids[0]
	b := Prefix([]byte("b/"))
	get := func(key []byte) func() {
		return func() {
			_, err := db.Get(ctx, key)
			require.NoError(t, err)
		}
	}
	warm := func(id string, o *WarmOptions) func() {
		return func() { require.NoError(t, db.WarmSST(ctx, id, o)) }
	}
	require.Equal(t, uint64(1), db.requestsOf(t, warm(newest, &WarmOptions{MetaOnly: true})), "the metadata is one request")
	require.NotZero(t, db.requestsOf(t, get(estKey(1))), "its block was not loaded")
	require.NoError(t, db.EvictSST(newest))
	require.NotZero(t, db.requestsOf(t, warm(newest+".sst", &WarmOptions{Range: b})))
	require.Zero(t, db.requestsOf(t, get(estKey(301))), "b/ is warm")
	require.NotZero(t, db.requestsOf(t, get(estKey(599))), "c/ is not")
	require.NotZero(t, db.requestsOf(t, warm(newest, nil)))
	require.Zero(t, db.requestsOf(t, func() {
		for i := range 600 {
			get(estKey(i))()
		}
	}), "all of the newest table is warm, and it has every key")
	require.Zero(t, db.requestsOf(t, warm(newest, nil)), "what is there is not loaded again")
	require.NoError(t, db.EvictSST(newest))
	require.NotZero(t, db.requestsOf(t, get(estKey(1))), "evicted")
	require.Zero(t, db.requestsOf(t, get(estKey(1))), "what is read after an eviction is cached again")

	// Nothing to do is no error; what is no table at all is.
	unknown := ulid.MustNew(1, nil).String()
	require.Zero(t, db.requestsOf(t, warm(unknown, nil)))
	require.NoError(t, db.EvictSST(unknown))
	require.ErrorIs(t, db.WarmSST(ctx, "nonsense", nil), ErrInvalid)
	require.ErrorIs(t, db.EvictSST("nonsense"), ErrInvalid)
	require.ErrorIs(t, db.WarmSST(ctx, newest, &WarmOptions{Range: Range{Start: []byte("b"), End: []byte("a")}}), ErrInvalid)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, db.WarmSST(gone, newest, nil), context.Canceled)
	bare, err := OpenReader(ctx, "db", &ReaderOptions{Mode: FollowLatest, PollInterval: -1, Store: db.conf.Store, Logger: quiet, BlockCacheBytes: -1, MetaCacheBytes: -1})
	require.NoError(t, err)
	require.Zero(t, bare.requestsOf(t, func() { require.NoError(t, bare.WarmSST(ctx, newest, nil)) }), "nowhere to put it")
	require.NoError(t, bare.EvictSST(newest))
	require.NoError(t, bare.Close(ctx))
	require.ErrorIs(t, bare.WarmSST(ctx, newest, nil), ErrClosed)
	require.ErrorIs(t, bare.EvictSST(newest), ErrClosed)
}

// Reads beside warming and evicting, in one cache that several handles share, answer as reads
// without any cache.
func TestWarmAndEvictChangeNoAnswer(t *testing.T) {
	ctx := context.Background()
	db, ids := warmWorld(t)
	open := func(o ReaderOptions) *Reader {
		o.Mode, o.PollInterval, o.Store, o.Logger = FollowLatest, -1, db.conf.Store, quiet
		r, err := OpenReader(ctx, "db", &o)
		require.NoError(t, err)
		t.Cleanup(func() { _ = r.Close(ctx) })
		return r
	}
	shared := open(ReaderOptions{BlockCache: db.conf.BlockCache})
	plain := open(ReaderOptions{BlockCacheBytes: -1, MetaCacheBytes: -1})
	want := map[string]string{}
	for e, err := range plain.Entries(ctx, All, nil) {
		require.NoError(t, err)
		want[string(e.Key)] = string(e.Value)
	}
	require.Len(t, want, 600)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(9, uint64(g)))
			for range 150 {
				id := ids[rnd.IntN(len(ids))]
				h := []interface {
					ReadOps
					WarmSST(context.Context, string, *WarmOptions) error
					EvictSST(string) error
				}{db, shared}[rnd.IntN(2)]
				switch rnd.IntN(4) {
				case 0:
					if err := h.WarmSST(ctx, id, &WarmOptions{MetaOnly: rnd.IntN(2) == 0, Range: Range{Start: estKey(rnd.IntN(600))}}); err != nil {
						t.Error(err)
					}
				case 1:
					if err := h.EvictSST(id); err != nil {
						t.Error(err)
					}
				case 2:
					k := estKey(rnd.IntN(600))
					if v, err := h.Get(ctx, k); err != nil || string(v) != want[string(k)] {
						t.Errorf("%s = %q, %v; want %q", k, v, err, want[string(k)])
					}
				case 3:
					n := 0
					for e, err := range h.Entries(ctx, Prefix([]byte("b/")), &ScanOptions{CacheBlocks: true}) {
						if err != nil || string(e.Value) != want[string(e.Key)] {
							t.Errorf("%s = %q, %v", e.Key, e.Value, err)
						}
						n++
					}
					if n != 200 {
						t.Error(fmt.Sprint(n, " entries, want 200"))
					}
				}
			}
		})
	}
	wg.Wait()
	st := db.conf.BlockCache.Stats()
	for _, id := range ids {
		require.NoError(t, db.EvictSST(id))
	}
	empty := db.conf.BlockCache.Stats()
	require.Positive(t, st.Blocks.Bytes+st.Meta.Bytes)
	require.Zero(t, empty.Blocks.Bytes)
	require.Zero(t, empty.Meta.Bytes)
}
