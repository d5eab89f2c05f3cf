package s3_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	slatedb "github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/servertest"
)

// TestEngine runs the database itself on the emulator.
func TestEngine(t *testing.T) {
	ctx := t.Context()
	loc := servertest.Folder(t, server) + "/db"
	open := func(t *testing.T) *slatedb.DB {
		t.Helper()
		db, err := slatedb.Open(ctx, loc, nil)
		require.NoError(t, err)
		t.Cleanup(func() { _ = db.Close(t.Context()) })
		return db
	}
	get := func(t *testing.T, db *slatedb.DB, key, want string) {
		t.Helper()
		v, err := db.Get(ctx, []byte(key))
		require.NoError(t, err)
		assert.Equal(t, want, string(v))
	}

	db := open(t)
	for i := range 50 {
		h, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "key-%03d", i), fmt.Appendf(nil, "value-%d", i), &slatedb.PutOptions{NoWait: true})
		require.NoError(t, err)
		if i%10 == 0 {
			require.NoError(t, h.Await(ctx))
		}
	}
	require.NoError(t, db.Delete(ctx, []byte("key-007")))
	require.NoError(t, db.FlushWithOptions(ctx, &slatedb.FlushOptions{Type: slatedb.FlushMemtable}))
	get(t, db, "key-049", "value-49")
	require.NoError(t, db.Put(ctx, []byte("only in the WAL"), []byte("yes")))
	// One batch larger than a single PUT takes: its WAL object goes up in parts, with the
	// condition on the completion.
	huge := bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)
	require.NoError(t, db.Put(ctx, []byte("huge"), huge))
	require.NoError(t, db.Close(ctx))

	second := open(t)
	get(t, second, "key-000", "value-0")
	get(t, second, "only in the WAL", "yes")
	get(t, second, "huge", string(huge))
	_, err := second.Get(ctx, []byte("key-007"))
	require.ErrorIs(t, err, slatedb.ErrNotFound)
	it, err := second.Scan(ctx, []byte("key-"), []byte("key."))
	require.NoError(t, err)
	n := 0
	for it.Next() {
		n++
	}
	require.NoError(t, it.Close())
	assert.Equal(t, 49, n)

	third := open(t)
	require.NoError(t, third.Put(ctx, []byte("key-000"), []byte("third")))
	err = second.Put(ctx, []byte("key-000"), []byte("second"))
	require.ErrorIs(t, err, slatedb.ErrFenced)
	get(t, third, "key-000", "third")
	require.NoError(t, third.Close(ctx))

	s, err := objstore.Open(ctx, loc)
	require.NoError(t, err)
	folders := map[string]int{}
	for a, err := range s.List(ctx, "", "") {
		require.NoError(t, err)
		folder, _, _ := strings.Cut(a.Key, "/")
		folders[folder]++
	}
	assert.Positive(t, folders["manifest"])
	assert.Positive(t, folders["wal"])
	assert.Positive(t, folders["compacted"])
}
