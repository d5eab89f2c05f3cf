package slatedb

import (
	"context"
	"errors"
	"reflect"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/hedge"
	"github.com/slatedb/slatedb-go/objstore/prices"
	"github.com/slatedb/slatedb-go/objstore/probe"
	"github.com/slatedb/slatedb-go/objstore/retry"
)

// A CapabilityError refuses a store that cannot carry a database, and names what it lacks.
// It is ErrInvalid.
type CapabilityError = probe.Error

// A StoreState tells how an object store has answered lately: State is StoreOK, StoreDegraded
// or StoreDown, Since when, and with what failures.
type StoreState = retry.Snapshot

// The states of a store. It is degraded after three requests in a row without an answer, and
// down when that lasts for ten seconds; one answer makes it ok.
const (
	StoreOK       = retry.OK
	StoreDegraded = retry.Degraded
	StoreDown     = retry.Down
)

// HedgeOptions say when a slow read is asked for a second time, see Options.HedgedReads.
type HedgeOptions = hedge.Options

// initHealth makes what watches the stores.
func (h *handle) initHealth() {
	env := h.conf.env
	h.born = env.Clock.Now()
	watch := func(name string) *retry.Health {
		return retry.NewHealth(env, func(s retry.Snapshot) {
			switch s.State {
			case retry.Down:
				h.conf.Logger.Warn("slatedb: the store is down", "path", h.path, "store", name, "failures", s.ConsecutiveFailures, "err", s.LastErr)
			case retry.OK:
				h.conf.Logger.Info("slatedb: the store answers again", "path", h.path, "store", name, "last", s.LastErr)
			}
			h.changed.signal()
		})
	}
	h.health = watch("main")
	h.healthWAL = h.health
	if h.conf.WALStore != nil {
		h.healthWAL = watch("wal")
	}
}

// storeState is that of the store that does worse.
func (h *handle) storeState() StoreState {
	main, wal := h.health.Snapshot(), h.healthWAL.Snapshot()
	rank := map[retry.State]int{retry.OK: 0, retry.Degraded: 1, retry.Down: 2}
	if rank[wal.State] > rank[main.State] {
		return wal
	}
	return main
}

// retries are the options for requests to s.
func (h *handle) retries(s objstore.Store) retry.Options {
	health := h.health
	if h.conf.WALStore != nil && sameStore(s, h.rawWAL) && !sameStore(s, h.raw) {
		health = h.healthWAL
	}
	return retry.Options{Env: h.conf.env, MaxRetries: h.conf.MaxRetries, Health: health}
}

func sameStore(a, b objstore.Store) bool {
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// hedged adds hedging to the reads of a component, when that is on. What compaction and
// replay read is large and nobody waits for it.
func (h *handle) hedged(cause string, s, raw objstore.Store) objstore.Store {
	if h.conf.HedgedReads == nil || cause != "read" {
		return s
	}
	o := *h.conf.HedgedReads
	o.Env, o.Second = h.conf.env, h.meter("hedge", raw)
	return hedge.New(s, o)
}

// probe tries the stores, unless the user or an earlier call vouches for them. A role that
// writes nothing but manifests leaves the store of the WAL out.
func (h *handle) probe(ctx context.Context, withWAL bool) error {
	for _, s := range h.unproven(withWAL) {
		ro := h.retries(s.store)
		err := probe.Once(ctx, h.meter("probe", s.store), s.key, &probe.Options{Path: h.path, Env: h.conf.env, Retry: &ro})
		if err != nil {
			return err
		}
	}
	return nil
}

// An unprovenStore is one that has not been tried in this process, under what it is known by.
type unprovenStore struct {
	store objstore.Store
	key   any
}

func (h *handle) unproven(withWAL bool) (out []unprovenStore) {
	if h.conf.SkipProbe {
		return nil
	}
	add := func(s objstore.Store, given bool) {
		var key any = "url " + h.scope
		if given {
			if key = s; !reflect.ValueOf(s).Comparable() {
				key = new(int) // known to nobody
			}
		}
		if !probe.Passed(s, key) {
			out = append(out, unprovenStore{s, key})
		}
	}
	add(h.raw, h.conf.Store != nil)
	if withWAL && h.conf.WALStore != nil && !sameStore(h.raw, h.rawWAL) {
		add(h.rawWAL, true)
	}
	return out
}

// prove is what a role does that writes to a database it does not create: it refuses a store
// that cannot refuse, and leaves a place alone that holds none of the databases at paths.
func (h *handle) prove(ctx context.Context, withWAL bool, paths ...string) error {
	if p := h.raw.Properties(); !p.IfAbsent {
		return invalidf("store %q has no create-if-absent put, which manifests need", p.Name)
	}
	if len(h.unproven(withWAL)) == 0 {
		return nil
	}
	for _, path := range paths {
		// Once only: what is wrong with the answer is for the probe to say.
		s := manifest.NewStore(h.componentRetrying("probe", h.raw, -1), path, h.conf.env)
		if _, err := s.Latest(ctx); errors.Is(err, ErrNoDatabase) {
			return err
		}
	}
	return h.probe(ctx, withWAL)
}

// cost adds the estimate of the bill to a snapshot: what the requests so far come to in a
// month at the same pace. Storage is not in it, since a handle does not know what else is
// there; slatedb stats tells it.
func (h *handle) cost(m *Metrics) {
	t := h.conf.Prices
	if t == nil {
		found, ok := prices.For(h.raw.Properties().Prices)
		if !ok {
			return
		}
		t = &found
	}
	elapsed := h.conf.env.Clock.Now().Sub(h.born)
	e := t.Estimate(h.ledger.Snapshot(), elapsed)
	m.all = append(m.all, Metric{
		Name: "slatedb.object_store.estimated_monthly_cost_usd", Labels: []string{"prices", t.Name}, Value: e.Requests + e.Transfer,
	})
}
