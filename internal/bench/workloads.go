package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/internal/testkit"
)

// A workload is run by the name the other drivers give it.
type workload struct {
	prepare func(r *runner) // unmeasured; nil: nothing
	run     func(r *runner, res *result)
	// driver makes the key and value of one operation: what it allocates is not the engine's.
	driver func(r *runner, i uint64)
	// rows that driver makes at once; 0 is 1
	rows int
}

// result is filled by a workload.
type result struct {
	measured
	begun time.Time // set again to leave out a preparation
	after func()    // puts things back, unmeasured
	extra map[string]any
}

var workloads = map[string]workload{
	"fill":         {run: fill, driver: keyAndValue},
	"overwrite":    {run: fill, driver: keyAndValue},
	"fill_batch":   {run: fillBatch, driver: func(r *runner, i uint64) { batchOf(r, new(slatedb.WriteBatch), i) }, rows: 100},
	"fill_durable": {run: fillDurable, driver: keyAndValue},
	"quiesce":      {run: quiesce},
	"compact":      {run: compact},
	"warm":         {prepare: inTables, run: warm, driver: onlyKey},
	"get":          {prepare: inTables, run: get, driver: onlyKey},
	"get_miss":     {prepare: inTables, run: getMiss, driver: onlyKey},
	"scan":         {prepare: inTables, run: scan},
	"seek10":       {prepare: inTables, run: seek10, driver: onlyKey},
	"reopen":       {prepare: inLog, run: reopen},
	"size":         {run: size},
}

// What a driver makes escapes to here, as it does to the engine in the real loop.
var sink [2][]byte

func keyAndValue(r *runner, i uint64) { sink = [2][]byte{key(i), value(i, r.vlen)} }
func onlyKey(_ *runner, i uint64)     { sink[0] = key(i) }

var noWait = &slatedb.PutOptions{NoWait: true}

// inTables loads an empty database for a workload that reads all n rows.
func inTables(r *runner) {
	if r.load(r.n) {
		check(r.db.FlushWithOptions(r.ctx, &slatedb.FlushOptions{Type: slatedb.FlushMemtable}))
	}
}

// inLog loads an empty database with what fits into one memtable, so that all of it is replayed.
func inLog(r *runner) { r.load(min(r.n, 100_000)) }

// load puts n rows and reports so, unless the database has rows.
func (r *runner) load(n int) bool {
	_, err := r.db.Get(r.ctx, key(0))
	if !errors.Is(err, slatedb.ErrNotFound) {
		check(err)
		return false
	}
	spread(r.threads, n, 0, func(i uint64) {
		_, err := r.db.PutWithOptions(r.ctx, key(i), value(i, r.vlen), noWait)
		check(err)
	})
	return true
}

func fill(r *runner, res *result) {
	res.measured = spread(r.threads, r.n, r.limit(), func(i uint64) {
		_, err := r.db.PutWithOptions(r.ctx, key(i), value(i, r.vlen), noWait)
		check(err)
	})
	r.endFill(res)
}

func batchOf(r *runner, b *slatedb.WriteBatch, number uint64) {
	for i := number * 100; i < number*100+100; i++ {
		b.Put(key(i), value(i, r.vlen))
	}
}

// fillBatch counts rows, as the other drivers do; its latencies are those of batches.
func fillBatch(r *runner, res *result) {
	o := &slatedb.WriteOptions{NoWait: true}
	res.measured = spread(r.threads, r.n/100, r.limit(), func(number uint64) {
		var b slatedb.WriteBatch
		batchOf(r, &b, number)
		_, err := r.db.WriteWithOptions(r.ctx, &b, o)
		check(err)
	})
	res.ops *= 100
	res.minWindow *= 100
	r.endFill(res)
}

func (r *runner) endFill(res *result) {
	res.extra["accepted_s"] = time.Since(res.begun).Seconds()
	res.extra["max_us"] = res.us(1)
	if res.minWindow >= 0 {
		res.extra["min_window_ops"] = res.minWindow
	}
	check(r.db.FlushWithOptions(r.ctx, &slatedb.FlushOptions{Type: slatedb.FlushMemtable}))
}

func fillDurable(r *runner, res *result) {
	res.measured = spread(r.a.n("durable_threads", 64), r.a.n("durable_n", 20_000), r.limit(), func(i uint64) {
		check(r.db.Put(r.ctx, key(i), value(i, r.vlen)))
	})
	res.extra["max_us"] = res.us(1)
}

// quiesce waits until L0 is empty, or until the tree has not changed for a while: then the
// compactor sees nothing worth doing.
func quiesce(r *runner, res *result) {
	const settled = 2 * time.Second
	res.ops = 1
	begun := time.Now()
	limit := time.Duration(r.a.n("quiesce_s", 120)) * time.Second
	last, since := [2]float64{-1, -1}, time.Now()
	for time.Since(begun) < limit {
		m := r.db.Metrics()
		l0, _ := m.Value("slatedb.db.l0_sst_count")
		runs, _ := m.Value("slatedb.db.sorted_run_count")
		if l0 == 0 {
			return
		}
		if now := [2]float64{l0, runs}; now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) >= settled {
			return
		}
		time.Sleep(pause)
	}
	res.extra["gave_up"] = true
}

func warm(r *runner, res *result) {
	res.measured = spread(r.threads, r.n, 0, func(i uint64) { r.getOne(key(i), true) })
}

func get(r *runner, res *result) {
	res.measured = spread(r.threads, r.a.n("reads", 500_000), 0, func(i uint64) {
		r.getOne(key(testkit.Mix64(i^0xABCDEF)%uint64(r.n)), true)
	})
}

func getMiss(r *runner, res *result) {
	res.measured = spread(r.threads, r.a.n("reads", 500_000), 0, func(i uint64) {
		r.getOne(append(key(testkit.Mix64(i^0xABCDEF)%uint64(r.n)), '!'), false)
	})
}

func (r *runner) getOne(k []byte, there bool) {
	_, err := r.db.Get(r.ctx, k)
	if errors.Is(err, slatedb.ErrNotFound) != !there {
		fatal(fmt.Errorf("get %s: got %v, want it there: %t", k, err, there))
	}
	if there {
		check(err)
	}
}

func scan(r *runner, res *result) {
	bytes := 0
	it, err := r.db.ScanWithOptions(r.ctx, slatedb.All, &slatedb.ScanOptions{
		CacheBlocks: true, ReadAheadBytes: r.a.n("read_ahead", 1<<20),
	})
	check(err)
	for it.Next() {
		res.ops++
		bytes += len(it.Key()) + len(it.Value())
	}
	check(it.Close())
	res.extra["bytes"] = bytes
}

func seek10(r *runner, res *result) {
	o := &slatedb.ScanOptions{CacheBlocks: true}
	res.measured = spread(r.threads, r.a.n("seeks", 50_000), 0, func(i uint64) {
		it, err := r.db.ScanWithOptions(r.ctx, slatedb.Range{Start: key(testkit.Mix64(i^0x5EEC) % uint64(r.n))}, o)
		check(err)
		for range 10 {
			if !it.Next() {
				break
			}
		}
		check(it.Close())
	})
}

func reopen(r *runner, res *result) {
	check(r.db.Flush(r.ctx))
	check(r.db.CloseWithOptions(r.ctx, &slatedb.CloseOptions{Flush: slatedb.CloseFlushWAL}))
	res.ops, res.begun = 1, time.Now()
	r.open()
	r.getOne(key(0), true)
}

func size(r *runner, res *result) {
	res.ops = 1
	objects, bytes := r.store.objects(r.ctx)
	res.extra["objects"], res.extra["stored_bytes"] = objects, bytes
}
