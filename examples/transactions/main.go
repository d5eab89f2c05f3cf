// Transactions moves money between accounts from many goroutines, and shows what the two
// isolation levels find, in memory.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"strconv"
	"sync"

	slatedb "github.com/slatedb/slatedb-go"
)

func main() {
	if err := run(context.Background(), "memory://transactions/bank"); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, location string) error {
	db, err := slatedb.Open(ctx, location, &slatedb.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer db.Close(ctx)
	for _, f := range []func(context.Context, *slatedb.DB) error{transfers, writeSkew, savepoints, conditional} {
		if err := f(ctx, db); err != nil {
			return err
		}
	}
	return db.Close(ctx)
}

func balance(ctx context.Context, r slatedb.ReadOps, account string) (int, error) {
	v, err := r.Get(ctx, []byte(account))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(v))
}

func set(tx *slatedb.Txn, account string, n int) error {
	return tx.Put([]byte(account), strconv.AppendInt(nil, int64(n), 10))
}

// transfers: Update runs its function again when another commit was in the way, so nothing is
// lost however many goroutines do this at once.
func transfers(ctx context.Context, db *slatedb.DB) error {
	for _, a := range []string{"alice", "bob"} {
		if err := db.Put(ctx, []byte(a), []byte("100")); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	errs := make([]error, 10)
	for i := range errs {
		wg.Go(func() {
			errs[i] = db.Update(ctx, slatedb.SerializableSnapshot, func(tx *slatedb.Txn) error {
				from, err := balance(ctx, tx, "alice")
				if err != nil {
					return err
				}
				to, err := balance(ctx, tx, "bob")
				if err != nil {
					return err
				}
				return errors.Join(set(tx, "alice", from-5), set(tx, "bob", to+5))
			})
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	a, err := balance(ctx, db, "alice")
	if err != nil {
		return err
	}
	b, err := balance(ctx, db, "bob")
	fmt.Printf("after ten transfers of 5: alice %d, bob %d\n", a, b)
	return err
}

// writeSkew: two doctors go off call, each having seen that the other is on.
func writeSkew(ctx context.Context, db *slatedb.DB) error {
	for _, level := range []slatedb.IsolationLevel{slatedb.SnapshotIsolation, slatedb.SerializableSnapshot} {
		for _, d := range []string{"on-call/ann", "on-call/ben"} {
			if err := db.Put(ctx, []byte(d), nil); err != nil {
				return err
			}
		}
		var txs []*slatedb.Txn
		for _, d := range []string{"on-call/ann", "on-call/ben"} {
			tx, err := db.Begin(level)
			if err != nil {
				return err
			}
			defer tx.Rollback() // does nothing after Commit
			n := 0
			for _, err := range tx.Entries(ctx, slatedb.Prefix([]byte("on-call/")), nil) {
				if err != nil {
					return err
				}
				n++
			}
			if n > 1 { // somebody stays
				if err := tx.Delete([]byte(d)); err != nil {
					return err
				}
			}
			txs = append(txs, tx)
		}
		first, second := txs[0].Commit(ctx), txs[1].Commit(ctx)
		if first != nil || second != nil && !errors.Is(second, slatedb.ErrConflict) {
			return errors.Join(first, second)
		}
		fmt.Printf("%s: the second commit is refused: %v\n", level, second != nil)
	}
	return nil
}

// savepoints: the latest part of the writes is taken back.
func savepoints(ctx context.Context, db *slatedb.DB) error {
	err := db.Update(ctx, slatedb.SnapshotIsolation, func(tx *slatedb.Txn) error {
		if err := set(tx, "carol", 1); err != nil {
			return err
		}
		before := tx.Savepoint()
		if err := set(tx, "carol", 2); err != nil {
			return err
		}
		return tx.RollbackTo(before)
	})
	if err != nil {
		return err
	}
	n, err := balance(ctx, db, "carol")
	fmt.Printf("carol has %d\n", n)
	return err
}

// conditional: a transaction of one key in one call.
func conditional(ctx context.Context, db *slatedb.DB) error {
	e, err := db.GetEntry(ctx, []byte("carol"), nil)
	if err != nil {
		return err
	}
	for _, v := range []string{"10", "20"} { // both compare with what was read above
		_, err := db.PutIf(ctx, []byte("carol"), []byte(v), slatedb.SeqIs(e.Seq), nil)
		if err != nil && !errors.Is(err, slatedb.ErrConditionFailed) {
			return err
		}
		fmt.Printf("compare and swap to %s: %v\n", v, err == nil)
	}
	return nil
}
