package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/internal/testkit"
)

const engineName = "slatedb-go"

func main() {
	slog.SetLogLoggerLevel(slog.LevelWarn)
	if len(os.Args) < 2 || strings.Contains(os.Args[1], "=") {
		fmt.Fprintln(os.Stderr, "usage: bench WORKLOAD[,WORKLOAD...] [key=value ...], or bench compare FILE...")
		os.Exit(2)
	}
	if os.Args[1] == "compare" {
		compare(os.Args[2:])
		return
	}
	r := newRunner(context.Background(), parseArgs(os.Args[2:]))
	stop := r.startProfile()
	for _, w := range strings.Split(os.Args[1], ",") {
		r.run(w)
	}
	check(r.db.Close(r.ctx))
	stop()
}

// A runner is one run over one database.
type runner struct {
	ctx     context.Context
	a       args
	n       int // rows
	vlen    int
	threads int
	store   *counting
	db      *slatedb.DB
}

func newRunner(ctx context.Context, a args) *runner {
	r := &runner{ctx: ctx, a: a, n: a.n("n", 1_000_000), vlen: a.n("value", 100), threads: a.n("threads", 1)}
	r.store = openStore(ctx, a)
	r.open()
	return r
}

func (r *runner) open() {
	o := &slatedb.Options{
		Store:             r.store,
		FlushInterval:     r.a.ms("flush_ms", 100*time.Millisecond),
		L0SSTSizeBytes:    r.a.n("l0_mb", 64) << 20,
		MaxUnflushedBytes: r.a.n("max_unflushed_mb", 1024) << 20,
		BlockCacheBytes:   int64(r.a.n("cache_mb", 1024)) << 20,
		Compression:       r.codec(),
	}
	withCompactor(o, r.a.n("compactor", 1) == 1, time.Duration(r.a.n("compactor_poll_ms", 1000))*time.Millisecond)
	db, err := slatedb.Open(r.ctx, "bench", o)
	check(err)
	r.db = db
}

// codec is the compression that was asked for.
func (r *runner) codec() slatedb.Codec {
	c := strings.ToLower(r.a.s("compression", "none"))
	known := map[string]slatedb.Codec{
		"none": slatedb.NoCompression, "snappy": slatedb.Snappy, "zlib": slatedb.Zlib, "lz4": slatedb.LZ4, "zstd": slatedb.Zstd,
	}
	codec, ok := known[c]
	if !ok {
		fatal(fmt.Errorf("compression=%s is unknown", c))
	}
	return codec
}

// run measures one workload and prints its line.
func (r *runner) run(name string) {
	w, ok := workloads[name]
	if !ok {
		fatal(fmt.Errorf("unknown workload %q", name))
	}
	if w.prepare != nil {
		w.prepare(r)
	}
	driver := 0.0
	if w.driver != nil {
		driver = allocsOf(1000*max(1, w.rows), func() {
			for i := range uint64(1000) {
				w.driver(r, i)
			}
		})
		clear(sink[:])
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sent := r.store.now()
	cpu0, _ := usage()
	res := result{extra: map[string]any{}, begun: time.Now()}
	w.run(r, &res)
	secs := time.Since(res.begun).Seconds()
	cpu1, rss := usage()
	runtime.ReadMemStats(&after)

	ops := max(res.ops, 1)
	used := r.store.now().since(sent)
	res.extra["requests"] = used
	res.extra["requests_per_op"] = round(float64(used.Get+used.Put+used.Head+used.List+used.Delete) / float64(ops))
	res.extra["allocs_per_op"] = round(float64(after.Mallocs-before.Mallocs) / float64(ops))
	res.extra["bytes_per_op"] = round(float64(after.TotalAlloc-before.TotalAlloc) / float64(ops))
	res.extra["driver_allocs"] = round(driver)
	if res.after != nil {
		res.after()
	}
	r.shape(res.extra)
	if cpu := cpu1 - cpu0; res.ops > 0 {
		res.extra["cpu_s_per_million"] = round(cpu / float64(res.ops) * 1e6)
	}
	line, err := json.Marshal(map[string]any{
		"engine": engineName, "workload": name, "ops": res.ops, "secs": secs,
		"ops_per_s": int(float64(res.ops) / secs), "cpu_s": cpu1 - cpu0,
		"p50_us": res.us(.5), "p99_us": res.us(.99), "p999_us": res.us(.999), "max_rss_mb": rss, "extra": res.extra,
	})
	check(err)
	fmt.Println(string(line))
}

// shape tells what a read has to merge.
func (r *runner) shape(extra map[string]any) {
	m := r.db.Metrics()
	for name, metric := range map[string]string{"l0": "slatedb.db.l0_sst_count", "runs": "slatedb.db.sorted_run_count"} {
		if v, ok := m.Value(metric); ok {
			extra[name] = int(v)
		}
	}
}

// allocsOf returns the allocations of f for each of n operations.
func allocsOf(n int, f func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n)
}

func round(x float64) float64 { return float64(int64(x*100+0.5)) / 100 }

func (r *runner) startProfile() (stop func()) {
	cpu := r.a.s("cpuprofile", "")
	if cpu != "" {
		f, err := os.Create(cpu)
		check(err)
		check(pprof.StartCPUProfile(f))
	}
	return func() {
		if cpu != "" {
			pprof.StopCPUProfile()
		}
		if mem := r.a.s("memprofile", ""); mem != "" {
			f, err := os.Create(mem)
			check(err)
			check(pprof.Lookup("allocs").WriteTo(f, 0))
			check(f.Close())
		}
	}
}

func key(i uint64) []byte              { return testkit.Key(i) }
func value(i uint64, n int) []byte     { return testkit.Value(i, n) }
func (r *runner) limit() time.Duration { return time.Duration(r.a.n("fill_s", 0)) * time.Second }
