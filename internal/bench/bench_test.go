package main

import (
	"strings"
	"testing"
	"time"
)

func TestCompareTakesMediansAndRatios(t *testing.T) {
	in := `{"engine":"slatedb-go","workload":"get","ops_per_s":100,"p50_us":1}
noise of another program
{"engine":"pebble","workload":"get","ops_per_s":50,"p50_us":2}
{"engine":"slatedb-go","workload":"get","ops_per_s":300,"p50_us":3}
{"engine":"slatedb-go","workload":"get","ops_per_s":200,"p50_us":2}
{"engine":"pebble","workload":"scan","ops_per_s":7}
`
	lines, err := readLines(strings.NewReader(in))
	if err != nil || len(lines) != 5 {
		t.Fatalf("got %d lines, %v", len(lines), err)
	}
	var out strings.Builder
	if err := printTable(&out, engineName, lines); err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for _, l := range strings.Split(strings.TrimSpace(out.String()), "\n")[1:] {
		rows = append(rows, strings.Fields(l))
	}
	want := []string{
		"get slatedb-go 3 200 100 300 2.0 0.0 0.00 0",
		"get pebble 1 50 50 50 2.0 0.0 0.00 0 4.00",
		"scan pebble 1 7 7 7 0.0 0.0 0.00 0",
	}
	for i, w := range want {
		if got := strings.Join(rows[i], " "); got != w {
			t.Errorf("row %d: got %q, want %q", i, got, w)
		}
	}
	if _, err := readLines(strings.NewReader("{broken")); err == nil {
		t.Error("a broken line was accepted")
	}
}

func TestSpreadCallsEveryNumberOnce(t *testing.T) {
	seen := make([]padded, 1000)
	m := spread(7, len(seen), 0, func(i uint64) { seen[i].n.Add(1) })
	for i := range seen {
		if n := seen[i].n.Load(); n != 1 {
			t.Fatalf("number %d was called %d times", i, n)
		}
	}
	if m.ops != len(seen) || len(m.lat) != len(seen) || m.us(0) > m.us(1) {
		t.Errorf("got %d operations, %d latencies", m.ops, len(m.lat))
	}
}

// Each workload that reads runs alone: it loads what it reads, which is not in its figures.
func TestWorkloadsRunAlone(t *testing.T) {
	for name, w := range workloads {
		if w.prepare == nil {
			continue
		}
		r := newRunner(t.Context(), args{"n": "3000", "reads": "100", "seeks": "10", "cache_mb": "4"})
		w.prepare(r)
		if r.load(1) {
			t.Errorf("%s: loaded twice", name)
		}
		res := result{extra: map[string]any{}, begun: time.Now()}
		w.run(r, &res)
		if res.ops == 0 {
			t.Errorf("%s: did nothing", name)
		}
		check(r.db.Close(r.ctx))
	}
}
