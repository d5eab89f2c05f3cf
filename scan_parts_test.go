package slatedb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// The innards of a closed iterator serve another scan. These tests are about who may still
// hold what.

// partsDB holds 900 keys in two tables and the memtable, all cached.
func partsDB(t *testing.T, o *Options) *DB {
	ctx := context.Background()
	db := openTest(t, o)
	for part := range 3 {
		for i := part; i < 900; i += 3 {
			_, err := db.PutWithOptions(ctx, partsKey(i), fmt.Appendf(nil, "value %d", i), &PutOptions{NoWait: true})
			require.NoError(t, err)
		}
		if part < 2 {
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		}
	}
	partsWalk(t, db, 0, 900, nil)
	return db
}

func partsKey(i int) []byte { return fmt.Appendf(nil, "key%06d", i) }

// partsWalk checks n rows from row i on and leaves the iterator open.
func partsWalk(t testing.TB, db *DB, i, n int, o *ScanOptions) *Iterator {
	desc := o != nil && o.Order == Descending
	r := Range{Start: partsKey(i)}
	if desc {
		r = Range{End: partsKey(i + 1)}
	}
	if o == nil {
		o = &ScanOptions{CacheBlocks: true}
	}
	it, err := db.ScanWithOptions(context.Background(), r, o)
	require.NoError(t, err)
	for range n {
		require.Equal(t, i < 900 && i >= 0, it.Next())
		if i < 900 && i >= 0 {
			require.Equal(t, string(partsKey(i)), string(it.Key()))
			require.Equal(t, fmt.Sprintf("value %d", i), string(it.Value()))
		}
		if i++; desc {
			i -= 2
		}
	}
	require.NoError(t, it.Err())
	return it
}

// TestClosedIteratorHoldsNothingOfLaterScans: whatever is called on closed iterators, those
// that were made afterwards are not touched.
func TestClosedIteratorHoldsNothingOfLaterScans(t *testing.T) {
	db := partsDB(t, testOptions())
	r := rand.New(rand.NewPCG(1, 2))
	var open, closed []*Iterator
	at := map[*Iterator]int{}
	for range 3000 {
		switch r.IntN(4) {
		case 0, 1:
			i := r.IntN(880)
			it := partsWalk(t, db, i, 5, nil)
			at[it] = i + 5
			open = append(open, it)
		case 2:
			if len(open) == 0 {
				continue
			}
			n := r.IntN(len(open))
			it := open[n]
			require.True(t, it.Next())
			require.Equal(t, string(partsKey(at[it])), string(it.Key()))
			if at[it]++; at[it] < 895 {
				require.True(t, it.Seek(partsKey(at[it]+1)))
				require.Equal(t, string(partsKey(at[it]+1)), string(it.Key()))
			}
			require.NoError(t, it.Close())
			open, closed = append(open[:n], open[n+1:]...), append(closed, it)
		case 3:
			if len(closed) == 0 {
				continue
			}
			it := closed[r.IntN(len(closed))]
			require.NoError(t, it.Close())
			require.False(t, it.Next())
			require.False(t, it.Seek(partsKey(1)))
			require.Nil(t, it.Key())
			require.Nil(t, it.Value())
			require.Equal(t, Entry{}, it.Entry())
			require.NoError(t, it.Err())
			for range it.All() {
				t.Fatal("a row of a closed iterator")
			}
		}
	}
	for _, it := range open {
		require.NoError(t, it.Close())
	}
}

// TestScansSideBySide: many goroutines scan, in both directions, and close at any place.
func TestScansSideBySide(t *testing.T) {
	db := partsDB(t, testOptions())
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 3))
			for range 200 {
				o := &ScanOptions{CacheBlocks: r.IntN(2) == 0, Order: Order(r.IntN(2))}
				it := partsWalk(t, db, r.IntN(900), r.IntN(40), o)
				require.NoError(t, it.Close())
			}
		})
	}
	all.Wait()
}

// TestIteratorClosedByItsOwnMergeOperator: the step under way ends, and no other scan gets
// what it still uses.
func TestIteratorClosedByItsOwnMergeOperator(t *testing.T) {
	ctx := context.Background()
	var it *Iterator
	var db *DB
	o := testOptions()
	o.MergeOperator = MergeFunc(func(_, existing, operand []byte) ([]byte, error) {
		if mine := it; mine != nil {
			it = nil
			if err := mine.Close(); err != nil {
				return nil, err
			}
			// Would get the innards if they had been given back.
			other := partsWalk(t, db, 0, 20, nil)
			defer other.Close()
		}
		return append(append([]byte{}, existing...), operand...), nil
	})
	db = partsDB(t, o)
	for _, v := range []string{"1", "2"} {
		err := db.Merge(ctx, []byte("merged"), []byte(v))
		require.NoError(t, err)
	}
	mine, err := db.Scan(ctx, []byte("merged"), nil)
	require.NoError(t, err)
	it = mine
	require.True(t, mine.Next() || mine.Err() == nil)
	require.Nil(t, it, "the operator has closed it")
	require.False(t, mine.Next())
	require.NoError(t, mine.Close())
	require.NoError(t, partsWalk(t, db, 0, 20, nil).Close())
}
