package thanos_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	tobj "github.com/thanos-io/objstore"

	"github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/storetest"
	"github.com/slatedb/slatedb-go/objstore/thanos"
)

func TestConformanceWithConditions(t *testing.T) {
	storetest.RunRounds(t, 3, func(*testing.T) objstore.Store {
		return thanos.WrapWith(tobj.NewInMemBucket(), objstore.NewMemory())
	})
}

// A listing is that of one store, whatever lies where and wherever it begins.
func TestListOfBoth(t *testing.T) {
	ctx := t.Context()
	bucket, rest := tobj.NewInMemBucket(), objstore.NewMemory()
	s := thanos.WrapWith(bucket, rest)
	keys := []string{
		"compacted/a", "compacted/manifest/1", "db/compacted/1", "db/compacted/2", "db/manifest/1", "db/wal/1", "db/wal/2", "db2/compacted/1",
	}
	for _, k := range keys {
		_, err := s.Put(ctx, k, []byte(k), objstore.Always)
		require.NoError(t, err)
	}
	require.NoError(t, bucket.Upload(ctx, "db/wal/0", strings.NewReader("stray")))
	_, err := rest.Put(ctx, "db/compacted/0", nil, objstore.Always)
	require.NoError(t, err)
	for _, prefix := range []string{"", "c", "compacted/", "db", "db/", "db/compacted/", "db/wal/", "x"} {
		for _, after := range append([]string{"", "db/d"}, keys...) {
			var want, got []string
			for _, k := range keys {
				if strings.HasPrefix(k, prefix) && k > after {
					want = append(want, k)
				}
			}
			for a, err := range s.List(ctx, prefix, after) {
				require.NoError(t, err)
				got = append(got, a.Key)
			}
			assert.Equal(t, want, got, "%q after %q", prefix, after)
		}
	}
	n := 0
	for range s.List(ctx, "", "") {
		if n++; n == 3 {
			break
		}
	}
	assert.Len(t, bucket.Objects(), 5)
}

// failing is a store whose listings break off.
type failing struct {
	objstore.Store
	_ []int // not comparable
}

func (failing) List(context.Context, string, string) iter.Seq2[objstore.Attributes, error] {
	return func(yield func(objstore.Attributes, error) bool) {
		yield(objstore.Attributes{}, fmt.Errorf("connection: %w", io.EOF))
	}
}

// A listing that breaks off is no end, whatever it breaks off with.
func TestListOfBothFails(t *testing.T) {
	s := thanos.WrapWith(tobj.NewInMemBucket(), failing{Store: objstore.NewMemory()})
	var last error
	for _, err := range s.List(t.Context(), "", "") {
		last = err
	}
	require.ErrorIs(t, last, io.EOF)
}

// TestEngine: without conditions a bucket is refused by a writer; with those of another store
// it carries a database, whose tables alone are in the bucket.
func TestEngine(t *testing.T) {
	ctx := t.Context()
	bucket, rest := tobj.NewInMemBucket(), objstore.NewMemory()
	o := &slatedb.Options{Store: thanos.Wrap(bucket), Logger: slog.New(slog.DiscardHandler)}
	_, err := slatedb.Open(ctx, "db", o)
	require.ErrorIs(t, err, slatedb.ErrInvalid)
	assert.ErrorContains(t, err, "create-if-absent")
	assert.Empty(t, bucket.Objects())

	o.Store = thanos.WrapWith(bucket, rest)
	for life := range 2 {
		db, err := slatedb.Open(ctx, "db", o)
		require.NoError(t, err)
		for i := range 20 {
			require.NoError(t, db.Put(ctx, fmt.Appendf(nil, "%d/%02d", life, i), []byte("v")))
		}
		require.NoError(t, db.FlushWithOptions(ctx, &slatedb.FlushOptions{Type: slatedb.FlushMemtable}))
		n := 0
		for _, err := range db.Entries(ctx, slatedb.All, nil) {
			require.NoError(t, err)
			n++
		}
		assert.Equal(t, 20*(life+1), n)
		require.NoError(t, db.Close(ctx))
	}
	var names []string
	for k := range bucket.Objects() {
		names = append(names, k)
	}
	require.NotEmpty(t, names)
	assert.False(t, slices.ContainsFunc(names, func(k string) bool { return !strings.HasPrefix(k, "db/compacted/") }), names)
	a, err := slatedb.NewAdmin("db", &slatedb.AdminOptions{Store: o.Store, Logger: o.Logger})
	require.NoError(t, err)
	defer a.Close()
	_, err = a.DeleteDB(ctx, true)
	require.NoError(t, err)
	assert.Empty(t, bucket.Objects())
}
