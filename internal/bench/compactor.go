package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/slatedb/slatedb-go"
)

// noCompactorL0 lets L0 grow when nobody merges it, as the other driver does.
const noCompactorL0 = 100_000

// withCompactor turns the embedded compactor on, polling every poll, or off. Collection is
// off in both: the peers' drivers have none either.
func withCompactor(o *slatedb.Options, on bool, poll time.Duration) {
	o.DisableGC = true
	if on {
		o.Compactor = &slatedb.CompactorOptions{PollInterval: poll}
		return
	}
	o.DisableCompactor = true
	o.L0MaxSSTs, o.L0MaxSSTsPerKey = noCompactorL0, noCompactorL0
}

// compact merges all tables into one sorted run, in one job of a compactor that does nothing
// else while there is no writer. A fill before it, with compactor=0, has left L0. Pauses count
// as little as the polls allow: both are at compactPoll.
func compact(r *runner, res *result) {
	if r.a.n("compactor", 1) == 1 {
		fatal(errors.New("compact needs compactor=0: the tables must not be merged yet"))
	}
	check(r.db.Close(r.ctx))
	counted, err := slatedb.NewAdmin("bench", &slatedb.AdminOptions{Store: r.store, Compression: r.codec()})
	check(err)
	watch, err := slatedb.NewAdmin("bench", &slatedb.AdminOptions{Store: r.store.Store}) // its requests are not the engine's
	check(err)
	m, err := watch.ReadManifest(r.ctx, 0)
	check(err)
	q := slatedb.CompactionRequest{Kind: slatedb.CompactSpec}
	for i := range m.Root.L0 {
		q.Sources = append(q.Sources, m.Root.L0[i].ID.String())
	}
	for i := range m.Root.Runs {
		q.Sources = append(q.Sources, strconv.FormatUint(uint64(m.Root.Runs[i].ID), 10))
		q.Destination = m.Root.Runs[i].ID
	}
	_, err = watch.SubmitCompaction(r.ctx, q)
	check(err)

	ctx, cancel := context.WithCancel(r.ctx)
	done := make(chan error, 1)
	res.begun = time.Now()
	go func() {
		done <- counted.RunCompactor(ctx, &slatedb.CompactorOptions{
			PollInterval: compactPoll, SizeTiered: slatedb.SizeTieredOptions{MinSources: math.MaxInt32},
			Worker: &slatedb.WorkerOptions{PollInterval: compactPoll, MaxSubcompactions: r.a.n("subcompactions", 0)},
		})
	}()
	for {
		select {
		case err := <-done:
			fatal(fmt.Errorf("the compactor ended: %w", err))
		case <-time.After(compactPoll):
		}
		now, err := watch.ReadManifest(r.ctx, 0)
		check(err)
		if len(now.Root.L0) == 0 && len(now.Root.Runs) == 1 {
			break
		}
	}
	secs := time.Since(res.begun).Seconds()
	cancel()
	check(<-done)
	res.ops = r.n
	res.extra["sources"] = len(q.Sources)
	res.extra["mb_per_s"] = round(float64(r.n) * float64(len(key(0))+r.vlen) / 1e6 / secs)
	res.after = func() {
		check(counted.Close())
		check(watch.Close())
		r.open()
	}
}

// compactPoll is the interval of everything that compact waits for.
const compactPoll = 20 * time.Millisecond
