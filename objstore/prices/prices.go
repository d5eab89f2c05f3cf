// Package prices turns what a ledger counted into money.
//
//	metered.Ledger.Snapshot ─▶ Table.Estimate(rows, elapsed) ─▶ USD a month
//	bytes stored            ─▶ Table.Storage
//
// The tables are list prices in US dollars, without free allowances, discounts and taxes, of
// a region in the east or the middle of the United States. They were written down in
// November 2025 and change: compare them with the provider's page, and put a Table of your
// own in their place where they are wrong for you. A GB of the provider's is taken for a
// GiB, which errs by at most 7 %.
package prices

import (
	"slices"
	"time"

	"github.com/slatedb/slatedb-go/objstore/metered"
)

// Date is when the tables were written down.
const Date = "2025-11"

// A Table has the prices of one product. The zero value is free of charge.
type Table struct {
	Name string `json:"name"` // for messages and labels
	// Page is the name of the provider's page to check the prices against before relying on
	// them, and AsOf the month of which they are.
	Page string `json:"page,omitempty"`
	AsOf string `json:"as_of,omitempty"`
	// Put, List, Get, Head and Delete are for a thousand requests. An upload in parts is a
	// Put for each part and two more.
	Put    float64 `json:"put_per_1000"`
	List   float64 `json:"list_per_1000"`
	Get    float64 `json:"get_per_1000"`
	Head   float64 `json:"head_per_1000"`
	Delete float64 `json:"delete_per_1000"`
	// GiBMonth is for storing a GiB for a month.
	GiBMonth float64 `json:"gib_month"`
	// InGiB and OutGiB are for a GiB written and read whatever the distance. Only products
	// that are cheap by the request have them.
	InGiB  float64 `json:"in_gib"`
	OutGiB float64 `json:"out_gib"`
	// EgressGiB is for a GiB that leaves the provider's network, for information: within a
	// region it costs nothing, and Estimate leaves it out.
	EgressGiB float64 `json:"egress_gib"`
}

var tables = map[string]Table{
	"s3": {
		Page: "Amazon S3 pricing", AsOf: Date,
		Put: 0.005, List: 0.005, Get: 0.0004, Head: 0.0004, GiBMonth: 0.023, EgressGiB: 0.09,
	},
	"s3-express": {
		Page: "Amazon S3 pricing", AsOf: Date,
		Put: 0.00113, List: 0.00113, Get: 0.00003, Head: 0.00003, GiBMonth: 0.11, InGiB: 0.0032, OutGiB: 0.0006, EgressGiB: 0.09,
	},
	"gcs": { // standard, one region; class A and class B
		Page: "Cloud Storage pricing", AsOf: Date,
		Put: 0.005, List: 0.005, Get: 0.0004, Head: 0.0004, GiBMonth: 0.020, EgressGiB: 0.12,
	},
	"azure": { // hot tier, locally redundant; sold by the ten thousand
		Page: "Azure Blob Storage pricing", AsOf: Date,
		Put: 0.005, List: 0.005, Get: 0.0004, Head: 0.0004, GiBMonth: 0.018, EgressGiB: 0.087,
	},
	"r2": { // standard; class A and class B
		Page: "Cloudflare R2 pricing", AsOf: Date,
		Put: 0.0045, List: 0.0045, Get: 0.00036, Head: 0.00036, GiBMonth: 0.015,
	},
	"minio": {}, // and every server of one's own: its requests cost nothing by the piece
}

// For returns the table of a product: "s3", "s3-express", "gcs", "azure", "r2" or "minio".
// Stores tell theirs in Properties.Prices.
func For(name string) (Table, bool) {
	t, ok := tables[name]
	t.Name = name
	return t, ok
}

// Names lists the products, sorted.
func Names() []string {
	var out []string
	for n := range tables {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// Month is a twelfth of a year, which is what providers charge by.
const Month = 365 * 24 * time.Hour / 12

// An Estimate is dollars a month.
type Estimate struct {
	Requests float64 `json:"requests_usd"`
	Transfer float64 `json:"transfer_usd"` // InGiB and OutGiB
}

// Estimate extends what rows counted in elapsed to a month. It is zero for an elapsed that
// is not positive.
func (t Table) Estimate(rows []metered.Row, elapsed time.Duration) Estimate {
	if elapsed <= 0 {
		return Estimate{}
	}
	e := t.Cost(rows)
	k := float64(Month) / float64(elapsed)
	return Estimate{Requests: e.Requests * k, Transfer: e.Transfer * k}
}

// Cost is what rows come to as they are.
func (t Table) Cost(rows []metered.Row) Estimate {
	var e Estimate
	const gib = 1 << 30
	for _, r := range rows {
		e.Requests += float64(r.Requests) / 1000 * t.of(r.Method)
		e.Transfer += float64(r.BytesOut)/gib*t.InGiB + float64(r.BytesIn)/gib*t.OutGiB
	}
	return e
}

// Storage is a month of keeping so many bytes.
func (t Table) Storage(bytes int64) float64 { return float64(bytes) / (1 << 30) * t.GiBMonth }

// of returns the price of a thousand requests of a ledger's method.
func (t Table) of(method string) float64 {
	switch method {
	case "get", "read":
		return t.Get
	case "head":
		return t.Head
	case "put", "upload", "multipart":
		return t.Put
	case "list":
		return t.List
	case "delete":
		return t.Delete
	}
	return 0
}
