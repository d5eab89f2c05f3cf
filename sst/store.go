package sst

import (
	"context"
	"sync"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
)

// StoreOptions are what reading tables needs beside the objects.
type StoreOptions struct {
	// Env is required.
	Env *seam.Env
	// Transformer undoes what the writer's transformer did, nil when there is none.
	Transformer Transformer
	// Policies are the filters that may be asked. A table's filter is used by the policy of
	// the same name; others are ignored.
	Policies []FilterPolicy
	// Ctx is the lifetime of requests that several callers may wait for, and of read-ahead.
	// When it has ended, reads go on in their callers' goroutines. nil: for ever.
	Ctx context.Context
	// MaxInFlight bounds the requests that run at once. The default is 64.
	MaxInFlight int
	// CacheScope tells object stores apart that share a cache and hold databases under equal
	// roots. The default "" is right when table ids are unique among them.
	CacheScope string
	// Fresh is asked when what Objects returned is damaged: a store that goes round a local
	// disk cache. The default is the store itself.
	Fresh objstore.Store
}

// A Store reads the tables under one root, and those of parents that a clone borrows. It is
// safe for concurrent use.
//
//	Get:   ViewReader.Get(Lookup) ... Missing ─▶ Fetch(Lookups) ─┐
//	Scan:  Group ─▶ Iter, RunIter ─▶ wave of spans ──────────────┼─▶ requests ─▶ objstore
//	Warm:  metadata of many tables ──────────────────────────────┘      │
//	                   BlockCache ◀── opened, checked, owned bytes ◀────┘
//
// A block or metadata that misses is requested once, whoever asks meanwhile (BlockCache.Join).
// The request belongs to the Store, not to a caller: one that gives up does not disturb the
// others. Spans of a scan belong to the scan.
type Store struct {
	objects, fresh objstore.Store
	root           string
	cache          BlockCache // nil: nothing is kept
	env            *seam.Env
	transformer    Transformer
	policies       []namedPolicy
	life           context.Context
	scope          string
	slots          chan struct{} // one token per request that runs
	buffers        sync.Pool     // of *[]byte, for spans whose blocks are copied out
	counters       storeCounters
}

const defaultMaxInFlight = 64

// NewStore makes a store of the tables under root. c may be nil.
func NewStore(objects objstore.Store, root string, c BlockCache, o StoreOptions) *Store {
	s := &Store{
		objects: objects, fresh: o.Fresh, root: root, cache: c, env: o.Env, transformer: o.Transformer,
		life: o.Ctx, scope: o.CacheScope,
	}
	if s.fresh == nil {
		s.fresh = objects
	}
	if s.life == nil {
		s.life = context.Background()
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = defaultMaxInFlight
	}
	s.slots = make(chan struct{}, o.MaxInFlight)
	s.policies = namePolicies(o.Policies)
	return s
}

// Open returns a reader of a table. It does no I/O and keeps h.
func (s *Store) Open(h *Handle) *Reader {
	root := h.Root
	if root == "" {
		root = s.root
	}
	r := &Reader{s: s, h: h, object: h.ID.Object(root)}
	if s.cache == nil {
		r.cells = &Cells{}
		return r
	}
	r.cells = s.cache.Cells(TableKey{Scope: s.cache.Scope(s.scopeOf(root)), ID: h.ID})
	return r
}

// Drop tells the cache that a table is gone.
func (s *Store) Drop(h *Handle) {
	if s.cache == nil {
		return
	}
	root := h.Root
	if root == "" {
		root = s.root
	}
	s.cache.Drop(TableKey{Scope: s.cache.Scope(s.scopeOf(root)), ID: h.ID})
}

// Cached reports whether the store has a cache.
func (s *Store) Cached() bool { return s.cache != nil }

func (s *Store) scopeOf(root string) string {
	if s.scope == "" {
		return root
	}
	return s.scope + "\x00" + root
}

// stopped reports whether the lifetime has ended: nothing is spawned or shared any more.
func (s *Store) stopped() bool { return s.life.Err() != nil }

// detached returns a context for a request on behalf of anyone: it carries ctx's values but
// not its end, and ends with the store's lifetime.
func (s *Store) detached(ctx context.Context) context.Context {
	return lifeContext{s.life, context.WithoutCancel(ctx)}
}

type lifeContext struct {
	context.Context // the lifetime
	values          context.Context
}

func (c lifeContext) Value(k any) any {
	if v := c.values.Value(k); v != nil {
		return v
	}
	return c.Context.Value(k)
}

// acquire takes a slot for one request.
func acquire(ctx context.Context, slots chan struct{}) error {
	select {
	case slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// maxPooledBuffer: larger ones are left to the collector.
const maxPooledBuffer = 1 << 20

// buffer lends n bytes until putBuffer.
func (s *Store) buffer(n int) *[]byte {
	if n <= maxPooledBuffer {
		if p, _ := s.buffers.Get().(*[]byte); p != nil && cap(*p) >= n {
			*p = (*p)[:n]
			return p
		}
	}
	b := make([]byte, n)
	return &b
}

func (s *Store) putBuffer(p *[]byte) {
	if cap(*p) <= maxPooledBuffer {
		s.buffers.Put(p)
	}
}
