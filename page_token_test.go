package slatedb

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
)

// pageDB holds keys in tables, in segments of the WAL and in memory, with deletions and merges.
func pageDB(t testing.TB, n int) *DB {
	ctx := context.Background()
	o := testOptions()
	o.MergeOperator = concatOp
	o.BlockSize = 1 << 10
	db := openTest(t, o)
	for i := range n {
		k := []byte(fmt.Sprintf("p%d/%04d", i%2, i/2))
		_, err := db.PutWithOptions(ctx, k, []byte("v"), &PutOptions{NoWait: true})
		require.NoError(t, err)
		if i%3 == 0 {
			_, err = db.MergeWithOptions(ctx, k, []byte("+"), &PutOptions{NoWait: true})
			require.NoError(t, err)
		}
		if i%7 == 0 {
			_, err = db.DeleteWithOptions(ctx, k, &WriteOptions{NoWait: true})
			require.NoError(t, err)
		}
		if i == n/2 {
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		}
	}
	return db
}

// pageWalk reads a range page by page. between runs between two pages with the last key.
func pageWalk(t testing.TB, r ReadOps, rng Range, o ScanOptions, between func(last []byte)) (keys []string) {
	t.Helper()
	for pages := 0; ; pages++ {
		require.Less(t, pages, 10_000)
		it, err := r.ScanWithOptions(context.Background(), rng, &o)
		require.NoError(t, err)
		var last []byte
		for it.Next() {
			last = bytes.Clone(it.Key())
			keys = append(keys, string(last))
		}
		o.PageToken = it.PageToken()
		require.NoError(t, it.Close())
		require.Equal(t, o.PageToken, it.PageToken(), "Close changes nothing")
		if o.PageToken == "" {
			return keys
		}
		if between != nil {
			between(last)
		}
	}
}

func pageKeys(t testing.TB, r ReadOps, rng Range, o *ScanOptions) (keys []string) {
	for e, err := range r.Entries(context.Background(), rng, o) {
		require.NoError(t, err)
		keys = append(keys, string(e.Key))
	}
	return keys
}

func TestPagesAreTheScan(t *testing.T) {
	db := pageDB(t, 300)
	snap, err := db.Snapshot()
	require.NoError(t, err)
	defer snap.Close()
	tx, err := db.Begin(SerializableSnapshot)
	require.NoError(t, err)
	defer tx.Rollback()
	require.NoError(t, tx.Put([]byte("p0/0003x"), []byte("own")))
	ranges := []Range{
		All, Prefix([]byte("p1/")), Prefix([]byte("none")),
		{Start: []byte("p0/0010"), End: []byte("p1/0020"), StartExclusive: true, EndInclusive: true},
		{Start: []byte("p0/0010"), End: []byte("p0/0010"), EndInclusive: true},
		{End: []byte("p0/0100")},
	}
	for name, r := range map[string]ReadOps{"db": db, "snapshot": snap, "transaction": tx} {
		for i, rng := range ranges {
			for _, order := range []Order{Ascending, Descending} {
				for _, limit := range []int{1, 2, 7, 149, 150, 1000} {
					o := ScanOptions{Order: order, Limit: limit, KeysOnly: i%2 == 0}
					want := pageKeys(t, r, rng, &ScanOptions{Order: order})
					require.Equal(t, want, pageWalk(t, r, rng, o, nil), "%s range %d order %d limit %d", name, i, order, limit)
				}
			}
		}
	}
}

// What happens to the boundary key between two pages changes nothing for the rest.
func TestPagesSurviveTheDeletionOfTheirBoundary(t *testing.T) {
	ctx := context.Background()
	for _, order := range []Order{Ascending, Descending} {
		db := pageDB(t, 120)
		want := pageKeys(t, db, All, &ScanOptions{Order: order})
		n := 0
		got := pageWalk(t, db, All, ScanOptions{Order: order, Limit: 5}, func(last []byte) {
			_, err := db.DeleteWithOptions(ctx, last, &WriteOptions{NoWait: true})
			require.NoError(t, err)
			if n++; n%4 == 0 {
				require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
			}
		})
		require.Equal(t, want, got)
	}
}

func TestPageTokenOfEveryState(t *testing.T) {
	ctx := context.Background()
	db := pageDB(t, 60)
	all := pageKeys(t, db, All, nil)
	rest := func(tok PageToken) []string {
		t.Helper()
		require.NotEmpty(t, tok)
		return pageKeys(t, db, All, &ScanOptions{PageToken: tok})
	}
	it, err := db.ScanWithOptions(ctx, All, nil)
	require.NoError(t, err)
	require.Equal(t, all, rest(it.PageToken()), "nothing was read yet")
	require.True(t, it.Next())
	require.Equal(t, all[1:], rest(it.PageToken()))
	require.True(t, it.Seek([]byte(all[10])))
	require.Equal(t, all[11:], rest(it.PageToken()), "behind the entry it stands on")
	require.False(t, it.Seek([]byte("a")))
	require.Equal(t, all[11:], rest(it.PageToken()), "a refused Seek moves nothing")
	require.NoError(t, it.Close())
	require.Equal(t, all[11:], rest(it.PageToken()))

	it, err = db.ScanWithOptions(ctx, All, nil)
	require.NoError(t, err)
	require.True(t, it.Next())
	require.False(t, it.Seek([]byte("zz")))
	require.Empty(t, it.PageToken(), "the end")
	require.NoError(t, it.Close())
	require.Empty(t, it.PageToken())

	// A scan that begins with a token and reads nothing hands the same one on.
	it, err = db.ScanWithOptions(ctx, All, &ScanOptions{Limit: 3})
	require.NoError(t, err)
	for it.Next() {
	}
	tok := it.PageToken()
	require.NoError(t, it.Close())
	it, err = db.ScanWithOptions(ctx, All, &ScanOptions{PageToken: tok})
	require.NoError(t, err)
	require.Equal(t, tok, it.PageToken())
	require.NoError(t, it.Close())

	// An error leaves the place of the last entry.
	cctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o := testOptions()
	o.BlockCacheBytes, o.MetaCacheBytes, o.BlockSize = -1, -1, 1<<10
	cold := openTest(t, o)
	for i := range 200 {
		_, err := cold.PutWithOptions(ctx, []byte(fmt.Sprintf("k%04d", i)), bytes.Repeat([]byte("x"), 1000), &PutOptions{NoWait: true})
		require.NoError(t, err)
	}
	require.NoError(t, cold.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
	it, err = cold.ScanWithOptions(cctx, All, &ScanOptions{ReadAheadBytes: 1})
	require.NoError(t, err)
	var last string
	for it.Next() {
		if last = string(it.Key()); last == "k0010" {
			cancel()
		}
	}
	require.ErrorIs(t, it.Err(), context.Canceled)
	next := pageKeys(t, cold, All, &ScanOptions{PageToken: it.PageToken(), Limit: 1})
	require.Equal(t, 1, len(next))
	require.Equal(t, pageKeys(t, cold, Range{Start: []byte(last), StartExclusive: true}, &ScanOptions{Limit: 1}), next)
	require.Error(t, it.Close())
}

func TestPageTokenRefusals(t *testing.T) {
	ctx := context.Background()
	db := pageDB(t, 60)
	rng := Prefix([]byte("p0/"))
	it, err := db.ScanWithOptions(ctx, rng, &ScanOptions{Limit: 3})
	require.NoError(t, err)
	for it.Next() {
	}
	tok := it.PageToken()
	require.NoError(t, it.Close())
	refuse := func(rng Range, o *ScanOptions, why string) {
		t.Helper()
		_, err := db.ScanWithOptions(ctx, rng, o)
		require.ErrorIs(t, err, ErrInvalid, why)
	}
	_, err = db.ScanWithOptions(ctx, rng, &ScanOptions{PageToken: tok})
	require.NoError(t, err)
	refuse(Prefix([]byte("p1/")), &ScanOptions{PageToken: tok}, "another range")
	refuse(All, &ScanOptions{PageToken: tok}, "a wider range")
	refuse(Range{Start: rng.Start, End: rng.End, EndInclusive: true}, &ScanOptions{PageToken: tok}, "another bound")
	refuse(rng, &ScanOptions{PageToken: tok, Order: Descending}, "the other order")
	refuse(rng, &ScanOptions{PageToken: "?"}, "no token")
	refuse(rng, &ScanOptions{PageToken: "AQ"}, "too short")
	raw, err := base64.RawURLEncoding.DecodeString(string(tok))
	require.NoError(t, err)
	for i := range raw { // every flipped bit
		for bit := range 8 {
			bad := bytes.Clone(raw)
			bad[i] ^= 1 << bit
			refuse(rng, &ScanOptions{PageToken: PageToken(base64.RawURLEncoding.EncodeToString(bad))}, "a flipped bit")
		}
	}
	for n := 1; n < len(tok); n++ {
		refuse(rng, &ScanOptions{PageToken: tok[:n]}, "a cut token")
	}
	// A key outside of the range, with everything else right.
	p, err := tok.parse()
	require.NoError(t, err)
	refuse(rng, &ScanOptions{PageToken: makePageToken(p.scope, false, []byte("zz"))}, "a key outside")

	var doc struct{ Next PageToken }
	b, err := json.Marshal(struct{ Next PageToken }{tok})
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &doc))
	require.Equal(t, tok, doc.Next)
	require.NoError(t, json.Unmarshal([]byte(`{"Next":""}`), &doc))
	require.Empty(t, doc.Next)
	require.ErrorIs(t, doc.Next.UnmarshalText([]byte("nonsense")), ErrInvalid)
}

// A scan of keys only yields the keys of the scan with values, whatever is merged, deleted or
// expired, and never calls the merge operator.
func TestKeysOnlyScanIsTheScanWithoutValues(t *testing.T) {
	ctx := context.Background()
	rnd := rand.New(rand.NewPCG(1, 2))
	o := testOptions()
	clock := &pageClock{now: time.UnixMilli(1_000_000)}
	o.Clock = clock
	o.Store = objstore.NewMemory()
	calls := 0
	o.MergeOperator = MergeFunc(func(_, existing, operand []byte) ([]byte, error) {
		calls++
		return append(existing, operand...), nil
	})
	db := openTest(t, o)
	for i := range 2000 {
		k := []byte(fmt.Sprintf("k%02d", rnd.IntN(60)))
		po := &PutOptions{NoWait: true}
		if rnd.IntN(3) == 0 {
			po.ExpireAt = clock.now.Add(time.Duration(rnd.IntN(2000)-500) * time.Millisecond)
		}
		var err error
		switch rnd.IntN(5) {
		case 0:
			_, err = db.DeleteWithOptions(ctx, k, &WriteOptions{NoWait: true})
		case 1, 2:
			_, err = db.PutWithOptions(ctx, k, []byte("v"), po)
		default:
			_, err = db.MergeWithOptions(ctx, k, []byte("m"), po)
		}
		require.NoError(t, err)
		if i%300 == 299 {
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		}
	}
	for _, order := range []Order{Ascending, Descending} {
		var want, got []Entry
		for e, err := range db.Entries(ctx, All, &ScanOptions{Order: order}) {
			require.NoError(t, err)
			require.NotNil(t, e.Value)
			e = e.Clone()
			e.Value = nil
			want = append(want, e)
		}
		before := calls
		it, err := db.ScanWithOptions(ctx, All, &ScanOptions{Order: order, KeysOnly: true})
		require.NoError(t, err)
		for it.Next() {
			require.Nil(t, it.Value())
			got = append(got, it.Entry().Clone())
		}
		require.NoError(t, it.Close())
		require.NotEmpty(t, want)
		require.Equal(t, want, got)
		require.Equal(t, before, calls)
	}
}

// pageClock stands still.
type pageClock struct {
	seam.SystemClock
	now time.Time
}

func (c *pageClock) Now() time.Time { return c.now }
