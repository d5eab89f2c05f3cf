package slatedb_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	slatedb "github.com/slatedb/slatedb-go"
)

func number(b []byte) int {
	n, _ := strconv.Atoi(string(b))
	return n
}

func ExampleDB_Update() {
	ctx := context.Background()
	db := open("ex-update")
	defer db.Close(ctx)

	check(db.Put(ctx, []byte("alice"), []byte("100")))
	check(db.Put(ctx, []byte("bob"), []byte("0")))
	err := db.Update(ctx, slatedb.SerializableSnapshot, func(tx *slatedb.Txn) error {
		vs, err := tx.MultiGet(ctx, [][]byte{[]byte("alice"), []byte("bob")}, nil)
		if err != nil {
			return err
		}
		if err := tx.Put([]byte("alice"), fmt.Append(nil, number(vs[0])-30)); err != nil {
			return err
		}
		return tx.Put([]byte("bob"), fmt.Append(nil, number(vs[1])+30))
	})
	check(err) // nil: durable
	for e, err := range db.Entries(ctx, slatedb.All, nil) {
		fmt.Printf("%s=%s %v\n", e.Key, e.Value, err)
	}
	// Output:
	// alice=70 <nil>
	// bob=30 <nil>
}

func ExampleDB_Begin() {
	ctx := context.Background()
	db := open("ex-begin")
	defer db.Close(ctx)

	tx, err := db.Begin(slatedb.SnapshotIsolation)
	check(err)
	defer tx.Rollback() // does nothing after Commit
	check(tx.Put([]byte("k"), []byte("mine")))
	check(db.Put(ctx, []byte("k"), []byte("theirs"))) // somebody is first
	err = tx.Commit(ctx)
	fmt.Println(errors.Is(err, slatedb.ErrConflict))
	// Output: true
}

func ExampleTxn_CommitWithOptions() {
	ctx := context.Background()
	db := open("ex-commit")
	defer db.Close(ctx)

	tx, err := db.Begin(slatedb.SnapshotIsolation)
	check(err)
	defer tx.Rollback()
	check(tx.Put([]byte("k"), []byte("v")))
	h, err := tx.CommitWithOptions(ctx, &slatedb.WriteOptions{NoWait: true})
	check(err)          // written: visible to this process
	check(h.Await(ctx)) // durable
	fmt.Println(h.Seq())
	// Output: 1
}

func ExampleTxn_Get() {
	ctx := context.Background()
	db := open("ex-txn-get")
	defer db.Close(ctx)

	check(db.Put(ctx, []byte("a"), []byte("old")))
	tx, err := db.Begin(slatedb.SnapshotIsolation)
	check(err)
	defer tx.Rollback()
	check(db.Put(ctx, []byte("a"), []byte("new"))) // after Begin: not seen
	check(tx.Put([]byte("b"), []byte("own")))      // own writes are
	for e, err := range tx.Entries(ctx, slatedb.All, nil) {
		fmt.Printf("%s=%s %v\n", e.Key, e.Value, err)
	}
	fmt.Println(tx.Seq())
	// Output:
	// a=old <nil>
	// b=own <nil>
	// 1
}

func ExampleTxn_MarkRead() {
	ctx := context.Background()
	db := open("ex-markread")
	defer db.Close(ctx)

	// Under SnapshotIsolation reads are not checked, but for those marked.
	tx, err := db.Begin(slatedb.SnapshotIsolation)
	check(err)
	defer tx.Rollback()
	check(tx.MarkRead([]byte("config")))
	check(tx.Put([]byte("job"), []byte("by the old config")))
	check(db.Put(ctx, []byte("config"), []byte("new")))
	fmt.Println(errors.Is(tx.Commit(ctx), slatedb.ErrConflict))
	// Output: true
}

func ExampleTxn_UnmarkWrite() {
	ctx := context.Background()
	db := open("ex-unmark")
	defer db.Close(ctx)

	tx, err := db.Begin(slatedb.SnapshotIsolation)
	check(err)
	defer tx.Rollback()
	check(tx.UnmarkWrite([]byte("last-seen"))) // whoever is last may win
	check(tx.Put([]byte("last-seen"), []byte("10:00")))
	check(db.Put(ctx, []byte("last-seen"), []byte("10:01")))
	fmt.Println(tx.Commit(ctx))
	// Output: <nil>
}

func ExampleTxn_Savepoint() {
	ctx := context.Background()
	db := open("ex-savepoint")
	defer db.Close(ctx)

	check(db.Update(ctx, slatedb.SnapshotIsolation, func(tx *slatedb.Txn) error {
		check(tx.Put([]byte("order"), []byte("1")))
		sp := tx.Savepoint()
		check(tx.Put([]byte("discount"), []byte("10%")))
		return tx.RollbackTo(sp) // the order stays
	}))
	ok, err := db.Has(ctx, []byte("discount"))
	fmt.Println(ok, err)
	// Output: false <nil>
}

func ExampleDB_Snapshot() {
	ctx := context.Background()
	db := open("ex-snapshot")
	defer db.Close(ctx)

	check(db.Put(ctx, []byte("k"), []byte("before")))
	snap, err := db.Snapshot()
	check(err)
	defer snap.Close()
	check(db.Put(ctx, []byte("k"), []byte("after")))
	v, err := snap.Get(ctx, []byte("k"))
	check(err)
	fmt.Printf("%s at %d\n", v, snap.Seq())
	// Output: before at 1
}

func ExampleDB_PutIf() {
	ctx := context.Background()
	db := open("ex-putif")
	defer db.Close(ctx)

	k := []byte("leader")
	_, err := db.PutIf(ctx, k, []byte("node-1"), slatedb.Absent(), nil)
	fmt.Println(err)
	_, err = db.PutIf(ctx, k, []byte("node-2"), slatedb.Absent(), nil)
	fmt.Println(errors.Is(err, slatedb.ErrConditionFailed))
	_, err = db.PutIf(ctx, k, []byte("node-2"), slatedb.ValueIs([]byte("node-1")), nil)
	fmt.Println(err)
	// Output:
	// <nil>
	// true
	// <nil>
}

func ExampleDB_DeleteIf() {
	ctx := context.Background()
	db := open("ex-deleteif")
	defer db.Close(ctx)

	k := []byte("k")
	check(db.Put(ctx, k, []byte("v")))
	e, err := db.GetEntry(ctx, k, nil)
	check(err)
	check(db.Put(ctx, k, []byte("v"))) // the same value, but another write
	_, err = db.DeleteIf(ctx, k, slatedb.SeqIs(e.Seq), nil)
	fmt.Println(errors.Is(err, slatedb.ErrConditionFailed))
	_, err = db.DeleteIf(ctx, k, slatedb.Present(), nil)
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}

// join puts a comma between values, and none before the first: merge(none, x) is x.
func join(_, existing, operand []byte) ([]byte, error) {
	if existing == nil {
		return operand, nil
	}
	return append(append(existing, ','), operand...), nil
}

func ExampleDB_Merge() {
	ctx := context.Background()
	db, err := slatedb.Open(ctx, "memory://ex-merge/db", &slatedb.Options{MergeOperator: slatedb.MergeFunc(join)})
	check(err)
	defer db.Close(ctx)

	check(db.Merge(ctx, []byte("tags"), []byte("red")))
	check(db.Merge(ctx, []byte("tags"), []byte("round")))
	v, err := db.Get(ctx, []byte("tags"))
	check(err)
	fmt.Printf("%s\n", v)
	// Output: red,round
}

func ExampleWriteBatch_Merge() {
	ctx := context.Background()
	db, err := slatedb.Open(ctx, "memory://ex-batch-merge/db", &slatedb.Options{MergeOperator: slatedb.MergeFunc(join)})
	check(err)
	defer db.Close(ctx)

	var b slatedb.WriteBatch
	b.Put([]byte("tags"), []byte("new"))
	b.Merge([]byte("tags"), []byte("red"))
	check(db.Write(ctx, &b))
	v, err := db.Get(ctx, []byte("tags"))
	check(err)
	fmt.Printf("%s\n", v)
	// Output: new,red
}

func ExampleParseIsolation() {
	l, err := slatedb.ParseIsolation("ssi")
	fmt.Println(l == slatedb.SerializableSnapshot, err)
	// Output: true <nil>
}
