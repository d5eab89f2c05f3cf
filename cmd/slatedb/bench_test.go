package main

import (
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHistogram(t *testing.T) {
	last := -1
	for _, d := range []time.Duration{0, 1, 15, 16, 31, 32, 33, 47, 48, 1000, 1023, 1024, time.Millisecond, time.Second, time.Hour, math.MaxInt64} {
		i := bucket(d)
		require.GreaterOrEqual(t, i, last)
		require.Less(t, i, 64*16)
		last = i
		assert.GreaterOrEqual(t, upper(i), d)
		assert.LessOrEqual(t, float64(upper(i)-d), float64(d)/16, "%v is in a bucket up to %v", d, upper(i))
		if i > 0 {
			assert.Less(t, upper(i-1), d)
		}
	}
	var h histogram
	assert.Zero(t, h.quantile(0.5))
	for i := range 100 {
		h.record(time.Duration(i+1) * time.Millisecond)
	}
	assert.InEpsilon(t, 50*time.Millisecond, h.quantile(0.5), 0.07)
	assert.InEpsilon(t, 99*time.Millisecond, h.quantile(0.99), 0.07)
	assert.Equal(t, 100*time.Millisecond, h.max)
}

func TestBench(t *testing.T) {
	db := filepath.Join(t.TempDir(), "db")
	r := document[benchReport](t, "bench", "--operations", "2000", "--concurrency", "2", "--key-count", "50", "--value-length", "10",
		"--put-percentage", "50", db)
	assert.Equal(t, 2000, r.Puts.Count+r.Gets.Count)
	assert.NotZero(t, r.Gets.Count)
	assert.NotZero(t, r.Hits)
	assert.Less(t, r.Hits, r.Gets.Count)
	assert.LessOrEqual(t, r.Puts.P50, r.Puts.P99)
	assert.Contains(t, ok(t, "scan", "--count", db), "50 entries, 1300 bytes")

	r = document[benchReport](t, "bench", "--workload", "transaction", "--operations", "50", "--key-count", "50", "--await-durable", db)
	assert.Equal(t, 50, r.Transactions.Count+r.Conflicts)
	assert.Contains(t, ok(t, "bench", "--operations", "20", "--key-generator", "fixed-set", "--put-percentage", "100", "--await-durable", db), "puts")
	verified(t, db, 0)

	for _, a := range [][]string{{"--workload", "x"}, {"--key-generator", "x"}, {"--concurrency", "0"}, {"--key-length", "3"}, {"--put-percentage", "101"}} {
		assert.Equal(t, 2, slate(t, append([]string{"bench", db}, a...)...).code, "%v", a)
	}
}
