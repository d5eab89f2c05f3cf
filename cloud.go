package slatedb

import (
	"context"
	"reflect"

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

// probe tries the stores, unless the user or an earlier open vouches for them.
func (h *handle) probe(ctx context.Context) error {
	if h.conf.SkipProbe {
		return nil
	}
	try := func(s objstore.Store, given bool) error {
		var key any = "url " + h.scope
		if given {
			if key = s; !reflect.ValueOf(s).Comparable() {
				key = new(int) // known to nobody
			}
		}
		ro := h.retries(s)
		return probe.Once(ctx, h.meter("probe", s), key, &probe.Options{Path: h.path, Env: h.conf.env, Retry: &ro})
	}
	if err := try(h.raw, h.conf.Store != nil); err != nil {
		return err
	}
	if h.conf.WALStore == nil || sameStore(h.raw, h.rawWAL) {
		return nil
	}
	return try(h.rawWAL, true)
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
