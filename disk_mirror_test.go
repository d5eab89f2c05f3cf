package slatedb

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/testkit"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

// noTableReads makes the store fail every read of a table from now on.
func (w *diskWorld) noTableReads() *faulty.Active {
	return w.store.Script(faulty.Rule{Key: "/compacted/", Match: func(r faulty.Request) bool {
		return r.Method == "read" || r.Method == "get" || r.Method == "head"
	}, Kind: faulty.ErrorBefore})
}

// TestMirrorOfAWriter: what it writes, compacts and finds at the opening is read from the disk
// alone.
func TestMirrorOfAWriter(t *testing.T) {
	testkit.NoLeaks(t)
	w := newDiskWorld(t, DiskCacheOptions{})
	w.open() // without a mirror first: these tables are downloaded later
	w.fill("old", 200)
	w.close()
	w.disk.Mirror = true
	o := w.options()
	o.DisableCompactor, o.MaxRetries = false, 1
	db, err := Open(t.Context(), "db", o)
	require.NoError(t, err)
	w.db = db
	rule := w.noTableReads()
	w.check(db)()
	w.fill("new", 200)
	w.check(db)()
	require.NoError(t, db.Compact(t.Context())) // reads its inputs from the mirror too
	w.check(db)()
	require.Zero(t, rule.Hits())
	m := db.Metrics()
	require.Zero(t, w.figure(m, "mirror_missing_tables"))
	require.EqualValues(t, 1, w.figure(m, "cache_keys"), "the inputs are gone")
	require.EqualValues(t, 2, w.figure(m, "evicted_keys"))
	w.close()

	// The restart looks at the files and fetches nothing.
	w.fs = w.fs.Again()
	w.open()
	w.check(w.db)()
	require.Zero(t, rule.Hits())
	_, err = Open(t.Context(), "db", w.options())
	require.ErrorIs(t, err, ErrInvalid, "the directory is in use")
	require.NoError(t, w.db.Put(t.Context(), []byte("still"), []byte("here")), "and the refused one has fenced nobody")
	w.close()
	require.Zero(t, w.fs.OpenFiles())
}

// TestMirrorOfAReader: the tables of a new manifest are on the disk before reads see it. While
// they cannot be fetched the reader stays where it is.
func TestMirrorOfAReader(t *testing.T) {
	testkit.NoLeaks(t)
	for _, mode := range []ReaderMode{ManagedCheckpoint, FollowLatest} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			w := newDiskWorld(t, DiskCacheOptions{Mirror: true})
			o := w.options()
			o.DiskCache, o.DisableCompactor = nil, false
			db, err := Open(t.Context(), "db", o)
			require.NoError(t, err)
			w.db = db
			w.fill("a", 200)
			r, err := OpenReader(t.Context(), "db", &ReaderOptions{
				Mode: mode, PollInterval: -1, Store: w.store, DiskCache: &w.disk, diskFS: w.fs, BlockCacheBytes: -1, MetaCacheBytes: -1, MaxRetries: 1, Logger: quiet,
			})
			require.NoError(t, err)
			rule := w.noTableReads()
			w.check(r)()
			require.Zero(t, rule.Hits())
			seen := r.Status().ManifestID
			rows := w.rows
			w.rows = map[string]string{}
			for k, v := range rows {
				w.rows[k] = v
			}
			rule.Remove()
			w.fill("b", 200)
			require.NoError(t, db.Compact(t.Context()))

			rule = w.noTableReads()
			require.ErrorIs(t, r.Refresh(t.Context()), ErrUnavailable)
			require.NotZero(t, rule.Hits())
			if mode == FollowLatest {
				require.Equal(t, seen, r.Status().ManifestID)
			}
			checkRows(t, r, rows, "the old state is served")
			rule.Remove()
			require.NoError(t, r.Refresh(t.Context()))
			rule = w.noTableReads()
			w.check(r)()
			require.Zero(t, rule.Hits())
			require.EqualValues(t, 1, w.figure(r.Metrics(), "cache_keys"))
			rule.Remove()
			require.NoError(t, r.Close(t.Context()))
			w.close()
		})
	}
}
