package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// line is what all drivers print, as far as compare needs it.
type line struct {
	Engine   string  `json:"engine"`
	Workload string  `json:"workload"`
	OpsPerS  float64 `json:"ops_per_s"`
	Secs     float64 `json:"secs"`
	P50      float64 `json:"p50_us"`
	P99      float64 `json:"p99_us"`
	CPU      float64 `json:"cpu_s"`
	RSS      float64 `json:"max_rss_mb"`
}

// compare prints, for each workload, the median of every engine and how this one stands to
// it. Lines of the same engine and workload are rounds of one measurement.
func compare(in []string) {
	us := engineName
	var files []string
	for _, s := range in {
		if e, ok := strings.CutPrefix(s, "engine="); ok {
			us = e
		} else {
			files = append(files, s)
		}
	}
	if len(files) == 0 {
		fatal(fmt.Errorf("compare needs files of result lines"))
	}
	for _, name := range files {
		f, err := os.Open(name)
		check(err)
		lines, err := readLines(f)
		f.Close()
		if err != nil {
			fatal(fmt.Errorf("%s: %w", name, err))
		}
		if len(files) > 1 {
			fmt.Printf("\n%s\n", name)
		}
		check(printTable(os.Stdout, us, lines))
	}
}

func readLines(r io.Reader) (lines []line, err error) {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		if text := strings.TrimSpace(sc.Text()); strings.HasPrefix(text, "{") {
			var l line
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				return nil, err
			}
			lines = append(lines, l)
		}
	}
	return lines, sc.Err()
}

// median of an even number is the mean of the two in the middle.
func median(v []float64) float64 {
	slices.Sort(v)
	n := len(v)
	switch {
	case n == 0:
		return 0
	case n%2 == 1:
		return v[n/2]
	}
	return (v[n/2-1] + v[n/2]) / 2
}

func printTable(out io.Writer, us string, lines []line) error {
	var engines, names []string
	rounds := map[[2]string][]line{}
	for _, l := range lines {
		if !slices.Contains(engines, l.Engine) {
			engines = append(engines, l.Engine)
		}
		if !slices.Contains(names, l.Workload) {
			names = append(names, l.Workload)
		}
		k := [2]string{l.Workload, l.Engine}
		rounds[k] = append(rounds[k], l)
	}
	slices.SortFunc(engines, func(a, b string) int { // ours first, then by name
		switch {
		case a == us:
			return -1
		case b == us:
			return 1
		}
		return strings.Compare(a, b)
	})
	of := func(k [2]string, f func(line) float64) (mid, low, high float64) {
		var v []float64
		for _, l := range rounds[k] {
			v = append(v, f(l))
		}
		mid = median(v)
		if len(v) > 0 {
			low, high = v[0], v[len(v)-1] // sorted by now
		}
		return mid, low, high
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "workload\tengine\trounds\tops/s\tlow\thigh\tp50 us\tp99 us\tcpu s\tpeak MB\tours / it\t")
	for _, name := range names {
		ours, _, _ := of([2]string{name, us}, func(l line) float64 { return l.OpsPerS })
		for _, e := range engines {
			k := [2]string{name, e}
			if len(rounds[k]) == 0 {
				continue
			}
			ops, low, high := of(k, func(l line) float64 { return l.OpsPerS })
			p50, _, _ := of(k, func(l line) float64 { return l.P50 })
			p99, _, _ := of(k, func(l line) float64 { return l.P99 })
			cpu, _, _ := of(k, func(l line) float64 { return l.CPU })
			rss, _, _ := of(k, func(l line) float64 { return l.RSS })
			ratio := ""
			if e != us && ours > 0 && ops > 0 {
				ratio = fmt.Sprintf("%.2f", ours/ops)
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%.0f\t%.0f\t%.0f\t%.1f\t%.1f\t%.2f\t%.0f\t%s\t\n",
				name, e, len(rounds[k]), ops, low, high, p50, p99, cpu, rss, ratio)
		}
	}
	return w.Flush()
}
