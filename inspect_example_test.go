package slatedb_test

import (
	"context"
	"fmt"
	"log/slog"

	slatedb "github.com/slatedb/slatedb-go"
)

// exampleOrders is a database in memory with 20,000 orders in one table.
func exampleOrders(ctx context.Context, location string) *slatedb.DB {
	db, err := slatedb.Open(ctx, location, &slatedb.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	var b slatedb.WriteBatch
	for i := range 20_000 {
		b.Put(fmt.Appendf(nil, "order/%05d", i), fmt.Appendf(nil, "item %d", i))
	}
	if err := db.Write(ctx, &b); err != nil {
		panic(err)
	}
	if err := db.FlushWithOptions(ctx, &slatedb.FlushOptions{Type: slatedb.FlushMemtable}); err != nil {
		panic(err)
	}
	return db
}

func ExampleDB_Estimate() {
	ctx := context.Background()
	db := exampleOrders(ctx, "memory://example-estimate/db")
	defer db.Close(ctx)
	e, err := db.Estimate(ctx, slatedb.All)
	fmt.Println(e.Rows, e.Deletes, e.Tables, err)
	// Output: 20000 0 1 <nil>
}

func ExampleDB_SplitPoints() {
	ctx := context.Background()
	db := exampleOrders(ctx, "memory://example-split/db")
	defer db.Close(ctx)
	points, err := db.SplitPoints(ctx, slatedb.All, 4)
	if err != nil {
		fmt.Println(err)
		return
	}
	from := []byte(nil)
	for _, to := range append(points, nil) {
		n := 0
		for _, err := range db.Entries(ctx, slatedb.Range{Start: from, End: to}, &slatedb.ScanOptions{KeysOnly: true}) {
			if err != nil {
				fmt.Println(err)
				return
			}
			n++
		}
		fmt.Println("about a quarter:", n > 4500 && n < 5500)
		from = to
	}
	// Output:
	// about a quarter: true
	// about a quarter: true
	// about a quarter: true
	// about a quarter: true
}

func ExampleIterator_PageToken() {
	ctx := context.Background()
	db := exampleOrders(ctx, "memory://example-pages/db")
	defer db.Close(ctx)
	var token slatedb.PageToken
	for page := 1; page <= 2; page++ {
		it, err := db.ScanWithOptions(ctx, slatedb.Prefix([]byte("order/")), &slatedb.ScanOptions{Limit: 2, PageToken: token})
		if err != nil {
			fmt.Println(err)
			return
		}
		for k := range it.All() {
			fmt.Printf("page %d: %s\n", page, k)
		}
		token = it.PageToken()
		if err := it.Close(); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// page 1: order/00000
	// page 1: order/00001
	// page 2: order/00002
	// page 2: order/00003
}

func ExampleDB_RecentRows() {
	ctx := context.Background()
	db := exampleOrders(ctx, "memory://example-recent/db")
	defer db.Close(ctx)
	key := []byte("order/00007")
	if err := db.Delete(ctx, key); err != nil {
		fmt.Println(err)
	}
	for r, err := range db.RecentRows(ctx, slatedb.Range{Start: key, End: key, EndInclusive: true}, nil) {
		fmt.Printf("%s %s %q %v\n", r.Kind, r.Key, r.Value, err)
	}
	// Output:
	// tombstone order/00007 "" <nil>
	// put order/00007 "item 7" <nil>
}

func ExampleAdmin_OpenSSTHandle() {
	ctx := context.Background()
	db := exampleOrders(ctx, "memory://example-sst/db")
	defer db.Close(ctx)
	admin, err := slatedb.NewAdmin("memory://example-sst/db", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer admin.Close()
	m, err := admin.ReadManifest(ctx, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	for v := range m.Views() {
		t, err := admin.OpenSSTHandle(v.Table)
		if err != nil {
			fmt.Println(err)
			return
		}
		st, _, err := t.Stats(ctx)
		fmt.Println(string(t.Info().First), string(t.Info().Last), st.Puts, err)
	}
	// Output: order/00000 order/19999 20000 <nil>
}

func ExampleDB_WarmSST() {
	ctx := context.Background()
	db := exampleOrders(ctx, "memory://example-warm/db")
	defer db.Close(ctx)
	admin, err := slatedb.NewAdmin("memory://example-warm/db", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer admin.Close()
	m, err := admin.ReadManifest(ctx, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	for v := range m.Views() {
		fmt.Println(db.WarmSST(ctx, v.Table.ID.String(), nil))
	}
	// Output: <nil>
}
