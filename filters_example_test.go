package slatedb_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"math"

	"github.com/slatedb/slatedb-go"
)

// A database with a segment for each tenant: the part of the key up to the first slash.
func ExampleOptions_segmentExtractor() {
	ctx := context.Background()
	db, err := slatedb.Open(ctx, "memory:///example-segments", &slatedb.Options{SegmentExtractor: slatedb.PrefixUntil('/')})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close(ctx)
	for _, k := range []string{"acme/1", "bolt/1", "bolt/2"} {
		if err := db.Put(ctx, []byte(k), []byte("x")); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Printf("%q\n", db.Status().Segments)
	err = db.Put(ctx, []byte("nobody"), nil)
	fmt.Println(errors.Is(err, slatedb.ErrInvalid))
	// Output:
	// ["acme/" "bolt/"]
	// true
}

// Prefix scans skip tables that hold nothing under the prefix.
func ExampleOptions_filterPolicies() {
	ctx := context.Background()
	db, err := slatedb.Open(ctx, "memory:///example-filters", &slatedb.Options{
		MinFilterKeys: -1, // this example's tables are small
		FilterPolicies: []slatedb.FilterPolicy{
			slatedb.BloomFilter(10, slatedb.BloomOptions{}),                                                       // for gets
			slatedb.BloomFilter(12, slatedb.BloomOptions{Extractor: slatedb.PrefixUntil('/'), NoWholeKeys: true}), // for scans of a user's rows
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close(ctx)
	for _, k := range []string{"anna/1", "carl/1"} {
		if err := db.Put(ctx, []byte(k), []byte("x")); err != nil {
			log.Fatal(err)
		}
	}
	if err := db.FlushWithOptions(ctx, &slatedb.FlushOptions{Type: slatedb.FlushMemtable}); err != nil {
		log.Fatal(err)
	}
	it, err := db.ScanPrefix(ctx, []byte("bert/"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(it.Next(), it.Close())
	skipped, _ := db.Metrics().Value("slatedb.db.sst_filter_negative_count", "kind", "prefix")
	fmt.Println("tables skipped:", skipped)
	// Output:
	// false <nil>
	// tables skipped: 1
}

// seen is a filter policy over the times in an append-only log's values: a table whose rows all
// lie outside the window that a scan names in its filter context is not read.
type seen struct{}

func (seen) Name() string                      { return "seen" }
func (seen) SupportsRange() bool               { return true } // plain scans may ask
func (seen) NewBuilder() slatedb.FilterBuilder { return &seenBuilder{min: math.MaxUint64} }

type seenBuilder struct{ min, max uint64 }

func (b *seenBuilder) Add(row *slatedb.Row) {
	if row.Kind != slatedb.ValueRow || len(row.Value) != 8 {
		b.min, b.max = 0, math.MaxUint64 // a deletion hides older rows: the table must be read
		return
	}
	at := binary.BigEndian.Uint64(row.Value)
	b.min, b.max = min(b.min, at), max(b.max, at)
}

func (b *seenBuilder) Build() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, b.min), b.max)
}

func (seen) MayContain(data []byte, q *slatedb.FilterQuery) (bool, error) {
	if len(q.Context) != 16 {
		return true, nil // a read without a window
	}
	if len(data) != 16 {
		return false, errors.New("want two numbers")
	}
	from, to := binary.BigEndian.Uint64(q.Context), binary.BigEndian.Uint64(q.Context[8:])
	return binary.BigEndian.Uint64(data) <= to && binary.BigEndian.Uint64(data[8:]) >= from, nil
}

// A filter policy of one's own, asked with what the read knows.
func ExampleFilterPolicy() {
	ctx := context.Background()
	db, err := slatedb.Open(ctx, "memory:///example-policy", &slatedb.Options{MinFilterKeys: -1, FilterPolicies: []slatedb.FilterPolicy{seen{}}})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close(ctx)
	for i, id := range []string{"f3", "a1", "c7", "b2"} {
		at := binary.BigEndian.AppendUint64(nil, uint64(1000*i))
		if err := db.Put(ctx, []byte(id), at); err != nil {
			log.Fatal(err)
		}
		if err := db.FlushWithOptions(ctx, &slatedb.FlushOptions{Type: slatedb.FlushMemtable}); err != nil {
			log.Fatal(err)
		}
	}
	window := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, 900), 2100)
	for e, err := range db.Entries(ctx, slatedb.All, &slatedb.ScanOptions{FilterContext: window}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(e.Key), binary.BigEndian.Uint64(e.Value))
	}
	// Output:
	// a1 1000
	// c7 2000
}

// redact is a compaction filter that takes e-mail addresses out and drops drafts.
type redact struct{}

func (redact) Filter(row *slatedb.Row) (slatedb.CompactionDecision, error) {
	switch {
	case row.Kind != slatedb.ValueRow:
		return slatedb.KeepRow(), nil
	case bytes.HasPrefix(row.Key, []byte("draft/")):
		return slatedb.SetTombstone(), nil // no older version may show again
	case bytes.Contains(row.Value, []byte("@")):
		return slatedb.SetValue([]byte("(removed)")), nil
	}
	return slatedb.KeepRow(), nil
}

func (redact) OnEnd() error { return nil }

// Rows are dropped and changed while compaction rewrites them.
func ExampleCompactionFilter() {
	ctx := context.Background()
	db, err := slatedb.Open(ctx, "memory:///example-compaction-filter", &slatedb.Options{
		CompactionFilter: func(slatedb.CompactionFilterContext) (slatedb.CompactionFilter, error) { return redact{}, nil },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close(ctx)
	for k, v := range map[string]string{"draft/1": "x", "user/1": "anna", "user/2": "bert@example.com"} {
		if err := db.Put(ctx, []byte(k), []byte(v)); err != nil {
			log.Fatal(err)
		}
	}
	if err := db.Compact(ctx); err != nil {
		log.Fatal(err)
	}
	for e, err := range db.Entries(ctx, slatedb.All, nil) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s=%s\n", e.Key, e.Value)
	}
	// Output:
	// user/1=anna
	// user/2=(removed)
}
