package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slatedb/slatedb-go"
)

var benchCommand = &command{
	name: "bench", args: "LOCATION", nargs: 1, group: groupUpkeep,
	brief: "load a database with reads and writes, and measure",
	help: `
Opens the database as its writer (fencing another one), sends puts and gets from several goroutines, and
prints rates and latencies. The rows stay: use a database made for it. The workload "transaction" reads and
writes a few rows in each of its transactions.

example:
  slatedb bench --duration 30s --concurrency 16 --put-percentage 50 --await-durable ./scratch`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		asJSON := jsonFlag(fs)
		b := &bench{}
		length := &durationFlag{d: 10 * time.Second}
		fs.Var(length, "duration", "how long, as in `D` = 30s")
		fs.Int64Var(&b.limit, "operations", 0, "stop after `N` operations; 0 is when the time is over")
		fs.StringVar(&b.workload, "workload", "db", "`NAME`: db or transaction")
		fs.IntVar(&b.concurrency, "concurrency", 4, "`N` goroutines")
		fs.IntVar(&b.putPercent, "put-percentage", 20, "`N` of 100 operations are puts; of transactions, those that write")
		fs.IntVar(&b.hitPercent, "get-hit-percentage", 95, "`N` of 100 gets ask for a key that is there")
		fs.Uint64Var(&b.keys, "key-count", 100000, "`N` different keys")
		fs.StringVar(&b.generator, "key-generator", "random", "`NAME`: random keys, or fixed-set to go through them in order")
		fs.IntVar(&b.keyLength, "key-length", 16, "`BYTES` of a key")
		fs.IntVar(&b.valueLength, "value-length", 1024, "`BYTES` of a value")
		fs.IntVar(&b.ops, "transaction-size", 10, "`N` operations of a transaction")
		fs.BoolVar(&b.durable, "await-durable", false, "wait for each write until it is durable")
		fs.Uint64Var(&b.seed, "seed", 1, "`N` to begin random numbers with")
		t := tableFlags(fs)
		return func(ctx context.Context, io *streams, args []string) error {
			if err := b.check(); err != nil {
				return err
			}
			o, err := t.writerOptions(ctx, args[0])
			if errors.Is(err, slatedb.ErrNoDatabase) {
				o, _ = t.file.read()
				err = nil
			}
			if err != nil {
				return err
			}
			file, _ := t.file.read()
			o.DisableCompactor, o.DisableGC = file.DisableCompactor, file.DisableGC
			db, err := slatedb.Open(ctx, args[0], o)
			if err != nil {
				return fmt.Errorf("open %s: %w", shown(args[0]), err)
			}
			r, err := b.run(ctx, db, length.d)
			if err = errors.Join(err, db.Close(context.WithoutCancel(ctx))); err != nil {
				return err
			}
			if *asJSON {
				return printJSON(io.out, r)
			}
			return r.print(io.out)
		}
	},
}

// bench is the command's flags.
type bench struct {
	workload, generator                 string
	concurrency, putPercent, hitPercent int
	keyLength, valueLength, ops         int
	keys, seed                          uint64
	durable                             bool
	limit                               int64
	begun                               atomic.Int64 // operations, all goroutines together
}

func (b *bench) check() error {
	switch {
	case b.workload != "db" && b.workload != "transaction":
		return usagef("--workload is %q, want db or transaction", b.workload)
	case b.generator != "random" && b.generator != "fixed-set":
		return usagef("--key-generator is %q, want random or fixed-set", b.generator)
	case b.concurrency < 1 || b.ops < 1 || b.keys < 1 || b.valueLength < 0:
		return usagef("--concurrency, --transaction-size and --key-count must be 1 or more")
	case b.keyLength < 8 || b.keyLength > slatedb.MaxKeyBytes:
		return usagef("--key-length is %d, want 8 to %d", b.keyLength, slatedb.MaxKeyBytes)
	case b.putPercent < 0 || b.putPercent > 100 || b.hitPercent < 0 || b.hitPercent > 100:
		return usagef("a percentage is 0 to 100")
	}
	return nil
}

// benchReport is what the command prints; the JSON names are its interface.
type benchReport struct {
	Seconds      float64  `json:"seconds"`
	Puts         opReport `json:"puts"`
	Gets         opReport `json:"gets"`
	Hits         int      `json:"hits"`
	Transactions opReport `json:"transactions"`
	Conflicts    int      `json:"conflicts"`
}

// opReport is about one kind of operation. Latencies are in microseconds, and within a 16th
// of the truth.
type opReport struct {
	Count     int     `json:"count"`
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_us"`
	P90       float64 `json:"p90_us"`
	P99       float64 `json:"p99_us"`
	Max       float64 `json:"max_us"`
}

// tally is what one goroutine has measured.
type tally struct {
	puts, gets, txns histogram
	hits, conflicts  int
}

// run works until d is over or ctx ends, which is no error.
func (b *bench) run(ctx context.Context, db *slatedb.DB, d time.Duration) (*benchReport, error) {
	work, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var wg sync.WaitGroup
	tallies, errs := make([]tally, b.concurrency), make([]error, b.concurrency)
	begun := time.Now()
	for i := range b.concurrency {
		wg.Go(func() {
			w := &benchWorker{bench: b, db: db, rng: rand.New(rand.NewPCG(b.seed, uint64(i))), next: uint64(i), t: &tallies[i]}
			if errs[i] = w.work(work); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	r := &benchReport{Seconds: time.Since(begun).Seconds()}
	var all tally
	for i := range tallies {
		t := &tallies[i]
		all.puts.add(&t.puts)
		all.gets.add(&t.gets)
		all.txns.add(&t.txns)
		r.Hits += t.hits
		r.Conflicts += t.conflicts
	}
	r.Puts, r.Gets, r.Transactions = all.puts.report(r.Seconds), all.gets.report(r.Seconds), all.txns.report(r.Seconds)
	return r, errors.Join(errs...)
}

type benchWorker struct {
	*bench
	db   *slatedb.DB
	rng  *rand.Rand
	next uint64 // of a fixed set
	t    *tally
	key  []byte
}

func (w *benchWorker) work(ctx context.Context) error {
	value := make([]byte, w.valueLength)
	for i := range value {
		value[i] = byte(w.rng.Uint32())
	}
	for ctx.Err() == nil && (w.limit == 0 || w.begun.Add(1) <= w.limit) {
		var err error
		if w.workload == "transaction" {
			err = w.transaction(ctx, value)
		} else {
			err = w.one(ctx, value)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

func (w *benchWorker) one(ctx context.Context, value []byte) error {
	begun := time.Now()
	if w.rng.IntN(100) < w.putPercent {
		_, err := w.db.PutWithOptions(ctx, w.pick(true), value, &slatedb.PutOptions{NoWait: !w.durable})
		if err == nil {
			w.t.puts.record(time.Since(begun))
		}
		return err
	}
	_, err := w.db.Get(ctx, w.pick(w.rng.IntN(100) < w.hitPercent))
	switch {
	case err == nil:
		w.t.hits++
	case !errors.Is(err, slatedb.ErrNotFound):
		return err
	}
	w.t.gets.record(time.Since(begun))
	return nil
}

func (w *benchWorker) transaction(ctx context.Context, value []byte) error {
	begun := time.Now()
	tx, err := w.db.Begin(slatedb.SerializableSnapshot)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	writes := w.rng.IntN(100) < w.putPercent
	for i := range w.ops {
		if writes && i%2 == 1 {
			err = tx.Put(w.pick(true), value)
		} else if _, err = tx.Get(ctx, w.pick(true)); errors.Is(err, slatedb.ErrNotFound) {
			err = nil
		}
		if err != nil {
			return err
		}
	}
	_, err = tx.CommitWithOptions(ctx, &slatedb.WriteOptions{NoWait: !w.durable})
	if errors.Is(err, slatedb.ErrConflict) {
		w.t.conflicts++
		return nil
	}
	if err == nil {
		w.t.txns.record(time.Since(begun))
	}
	return err
}

// pick makes a key: of the set, or with hit off one that no put ever makes.
func (w *benchWorker) pick(hit bool) []byte {
	n := w.next % w.keys
	if w.generator == "random" {
		n = w.rng.Uint64N(w.keys)
	} else {
		w.next += uint64(w.concurrency)
	}
	w.key = fmt.Appendf(w.key[:0], "%0*x", w.keyLength, n)
	w.key = w.key[len(w.key)-w.keyLength:]
	if !hit {
		w.key[0] = '~'
	}
	return w.key
}

func (r *benchReport) print(out io.Writer) error {
	t := newTable(out, "", "COUNT", "PER SECOND", "P50", "P90", "P99", "MAX")
	for _, l := range []struct {
		name string
		o    opReport
	}{{"puts", r.Puts}, {"gets", r.Gets}, {"transactions", r.Transactions}} {
		if l.o.Count == 0 {
			continue
		}
		us := func(f float64) string { return time.Duration(f * 1000).Round(time.Microsecond).String() }
		t.row(l.name, l.o.Count, fmt.Sprintf("%.0f", l.o.PerSecond), us(l.o.P50), us(l.o.P90), us(l.o.P99), us(l.o.Max))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if r.Gets.Count > 0 {
		fmt.Fprintf(out, "%.1f%% of gets found their key\n", 100*float64(r.Hits)/float64(r.Gets.Count))
	}
	if r.Transactions.Count > 0 {
		fmt.Fprintf(out, "%s\n", plural(r.Conflicts, "conflict"))
	}
	return nil
}
