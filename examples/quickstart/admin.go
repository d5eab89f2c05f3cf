package main

import (
	"context"
	"fmt"
	"time"

	slatedb "github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/operators"
)

// checkpoint: it pins what is durable now, for any process, until it is deleted or expires.
func checkpoint(ctx context.Context, db *slatedb.DB) error {
	// A checkpoint of the scope CheckpointAll would flush by itself.
	if err := db.FlushWithOptions(ctx, &slatedb.FlushOptions{Type: slatedb.FlushMemtable}); err != nil {
		return err
	}
	ck, err := db.CreateCheckpoint(ctx, slatedb.CheckpointDurable, &slatedb.CheckpointOptions{Name: "tour", Lifetime: time.Hour})
	if err != nil {
		return err
	}
	if err := db.Put(ctx, []byte("user:4"), []byte("Dave")); err != nil {
		return err
	}

	reader, err := slatedb.OpenReader(ctx, store+"/shop", &slatedb.ReaderOptions{CheckpointID: ck.ID, MergeOperator: operators.AddInt64})
	if err != nil {
		return err
	}
	defer reader.Close(ctx)
	for _, key := range []string{"user:3", "user:4"} {
		there, err := reader.Has(ctx, []byte(key))
		if err != nil {
			return err
		}
		fmt.Printf("   %s is in the checkpoint: %v\n", key, there)
	}
	return reader.Close(ctx)
}

// administer: an Admin works beside the writer, from any process, and never fences it.
func administer(ctx context.Context, _ *slatedb.DB) error {
	admin, err := slatedb.NewAdmin(store+"/shop", nil)
	if err != nil {
		return err
	}
	defer admin.Close()
	cks, err := admin.ListCheckpoints(ctx, "tour")
	if err != nil {
		return err
	}
	m, err := admin.ReadManifest(ctx, 0)
	if err != nil {
		return err
	}
	fmt.Printf("   %d checkpoint named %s\n", len(cks), cks[0].Name)
	fmt.Printf("   the newest manifest has %d tables in L0 and %d sorted runs\n", len(m.Root.L0), len(m.Root.Runs))
	return nil
}

// times: the manifest knows about one pair of sequence number and time a minute.
func times(ctx context.Context, db *slatedb.DB) error {
	admin, err := slatedb.NewAdmin(store+"/shop", nil)
	if err != nil {
		return err
	}
	defer admin.Close()
	seq, err := admin.SeqForTime(ctx, time.Now(), slatedb.RoundDown)
	if err != nil {
		return err
	}
	t, err := admin.TimeForSeq(ctx, seq, slatedb.RoundDown)
	if err != nil {
		return err
	}
	fmt.Printf("   the number that is current now is a number of this run: %v\n", seq > 0 && seq <= db.Status().CommittedSeq)
	fmt.Printf("   and it leads back to a time of this run: %v\n", time.Since(t) < time.Minute)
	return nil
}

// clone: a database of its own that shares the tables of its parent; nothing is copied.
func clone(ctx context.Context, db *slatedb.DB) error {
	admin, err := slatedb.NewAdmin(store+"/shop", nil)
	if err != nil {
		return err
	}
	defer admin.Close()
	if err := admin.CreateClone(ctx, "copy", slatedb.CloneSource{}); err != nil {
		return err
	}
	copied, err := slatedb.Open(ctx, store+"/copy", &slatedb.Options{MergeOperator: operators.AddInt64})
	if err != nil {
		return err
	}
	defer copied.Close(ctx)
	if err := copied.Delete(ctx, []byte("user:1")); err != nil {
		return err
	}
	for i, h := range []*slatedb.DB{db, copied} {
		there, err := h.Has(ctx, []byte("user:1"))
		if err != nil {
			return err
		}
		fmt.Printf("   user:1 is in the %s: %v\n", []string{"database", "clone"}[i], there)
	}
	return copied.Close(ctx)
}

// collect: what a pass does not delete it keeps for a reason. Here all is too young.
func collect(ctx context.Context, _ *slatedb.DB) error {
	admin, err := slatedb.NewAdmin(store+"/shop", nil)
	if err != nil {
		return err
	}
	defer admin.Close()
	report, err := admin.RunGCOnce(ctx, nil)
	if err != nil {
		return err
	}
	fmt.Printf("   %d objects deleted, some kept: %v\n", len(report.Deleted), len(report.Kept) > 0)
	return nil
}
