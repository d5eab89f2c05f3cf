package slatedb

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slatedb/slatedb-go/cache"
	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/watermark"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/metered"
	"github.com/slatedb/slatedb-go/objstore/retry"
	"github.com/slatedb/slatedb-go/sst"
)

// handle is what a writer and a reader have in common: stores, cache, the state and its
// watermarks, and everything needed to read.
type handle struct {
	conf *config
	path string
	role string // db unless the handle says reader or admin: the label component of its requests
	// scope names the object store within the process.
	scope string
	// raw and rawWAL are the stores as given; those of a component carry its ledger cause.
	raw, rawWAL objstore.Store
	ledger      *metered.Ledger
	health      *retry.Health // of raw
	healthWAL   *retry.Health // of rawWAL, when that is another store; else the same
	born        time.Time     // when the ledger began
	manifests   *manifest.Store
	ssts        *sst.Store
	ownCache    *cache.Cache // closed with the handle; nil when shared or none
	disk        *localDisk   // nil: none

	state        atomic.Pointer[state]
	committed    atomic.Uint64   // newest visible seq
	durable      *watermark.Mark // newest seq that the object store has
	newestCreate atomic.Int64    // newest create time (ms) the handle knows

	stats    stats
	reported reporter // of the computed figures, to stats.rec
	changed  broadcast

	life   context.Context // ends when the handle does; background requests run on it
	cancel context.CancelFunc
	end    struct {
		sync.Mutex
		err error // what closed the handle, the first reason wins
	}
	ended atomic.Bool // end.err is set; a cheap look
}

// sharedCache is the process's default cache.
var sharedCache = sync.OnceValue(func() *cache.Cache {
	return cache.New(cache.Options{BlockBytes: 512 << 20, MetaBytes: 128 << 20})
})

// newHandle resolves the location and wires the stores. It does no request.
func newHandle(ctx context.Context, location string, c *config) (*handle, error) {
	h := &handle{conf: c, role: "db", ledger: metered.NewLedger(), durable: new(watermark.Mark)}
	h.raw, h.path = c.Store, location
	if c.Store == nil {
		s, path, err := objstore.Resolve(ctx, location)
		if err != nil {
			return nil, unavailable(err)
		}
		h.raw, h.path = s, path
	} else if err := objstore.ValidPath(location); err != nil {
		return nil, invalidf("location %q is no path inside Options.Store: %v", location, err)
	}
	h.rawWAL = h.raw
	h.scope = cacheScope(c.Store, location, h.path)
	if c.WALStore != nil {
		h.rawWAL = c.WALStore
	}
	h.initHealth()
	h.stats.init(c.MetricsRecorder)
	h.observeCalls(c.MetricsRecorder)
	h.newestCreate.Store(kv.NoTS)
	h.life, h.cancel = context.WithCancel(context.Background())

	var bc sst.BlockCache
	switch {
	case c.BlockCache != nil:
		bc = c.BlockCache
	case c.BlockCacheBytes < 0 && c.MetaCacheBytes < 0:
	case c.BlockCacheBytes == 0 && c.MetaCacheBytes == 0:
		bc = sharedCache()
	default:
		h.ownCache = cache.New(cache.Options{
			BlockBytes: orDefault(c.BlockCacheBytes, 512<<20), MetaBytes: orDefault(c.MetaCacheBytes, 128<<20),
		})
		bc = h.ownCache
	}
	h.manifests = manifest.NewStoreWith(h.component("manifest", h.raw), h.path, c.env, manifest.Options{ClaimTimeout: c.ManifestUpdateTimeout})
	if err := h.openDisk(location); err != nil {
		h.release()
		return nil, err
	}
	tables, fresh := h.tableReads()
	h.ssts = sst.NewStore(tables, h.path, bc, sst.StoreOptions{
		Env: c.env, Transformer: c.BlockTransformer, Policies: c.FilterPolicies, Ctx: h.life, CacheScope: h.scope,
		Fresh: fresh,
	})
	return h, nil
}

// cacheScope names the object store within the process, for caches that several share: by
// its URL, so that a reader and a writer of one location share blocks, or by identity.
func cacheScope(s objstore.Store, location, path string) string {
	if s != nil {
		return fmt.Sprintf("%T %p", s, s)
	}
	return strings.TrimSuffix(location, path)
}

// component returns a store whose requests are booked under cause and retried.
func (h *handle) component(cause string, s objstore.Store) objstore.Store {
	return h.componentRetrying(cause, s, 0)
}

// componentRetrying is component with a bound of retries of its own, unless that is 0.
func (h *handle) componentRetrying(cause string, s objstore.Store, retries int) objstore.Store {
	o := h.retries(s)
	o.MaxRetries = orDefault(retries, o.MaxRetries)
	return retry.New(h.hedged(cause, h.meter(cause, s), s), o)
}

// release ends what belongs to the handle alone.
func (h *handle) release() {
	h.cancel()
	if h.ownCache != nil {
		h.ownCache.Close()
	}
	h.disk.close()
}

// fail latches what ended the handle and wakes everybody who waits on it.
func (h *handle) fail(err error) {
	h.end.Lock()
	first := h.end.err == nil
	if first {
		h.end.err = err
		h.ended.Store(true) // under the lock: a second failure must not find none latched
	}
	h.end.Unlock()
	if first {
		h.changed.signal()
	}
}

// latched returns what ended the handle, or nil.
func (h *handle) latched() error {
	if !h.ended.Load() {
		return nil
	}
	h.end.Lock()
	defer h.end.Unlock()
	return h.end.err
}

// now is the time that decides about expiry: the larger of the clock and the newest create
// time the handle knows, so that nothing comes back when a clock steps back.
func (h *handle) now() int64 {
	return max(h.conf.env.Clock.Now().UnixMilli(), h.newestCreate.Load())
}

// status is the part of Status that every handle has.
func (h *handle) status() Status {
	s := Status{Err: h.latched(), Store: h.storeState()}
	st := h.state.Load()
	s.DurableSeq = uint64(h.durable.Load())
	s.CommittedSeq = max(h.committed.Load(), s.DurableSeq)
	s.ManifestID = st.man.ID
	s.Segments = st.segmentPrefixes()
	return s
}

// segmentPrefixes lists the segments that hold data, ascending.
func (st *state) segmentPrefixes() [][]byte {
	if st.man.ExtractorName == "" {
		return nil
	}
	seen := make(map[string]struct{})
	for i := range st.segs {
		if len(st.segs[i].l0)+len(st.segs[i].runs) > 0 {
			seen[string(st.segs[i].prefix)] = struct{}{}
		}
	}
	for _, m := range append([]*memTable{st.mem}, st.imm...) {
		m.eachPrefix(func(p string) { seen[p] = struct{}{} })
	}
	return sortedKeys(seen)
}
