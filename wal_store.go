package slatedb

import (
	"context"
	"errors"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// A log on a store of its own. Only old manifests name that store, so that a handle that is
// given the wrong one finds out by what it meets, or not at all.

// namesWALStore refuses a manifest that names a store of the WAL when options, a type of
// options, set none.
func (h *handle) namesWALStore(m *manifest.Manifest, options string) error {
	if m.WALObjectStoreURI != "" && h.conf.WALStore == nil {
		return invalidf("the database keeps its WAL in another store (%q); set %s.WALStore", m.WALObjectStoreURI, options)
	}
	return nil
}

// logInMain refuses a WALStore that holds nothing behind the replay point of m while the main
// store does: rows that were acknowledged would be missed in silence. tail is the end of the
// log in WALStore.
func (h *handle) logInMain(ctx context.Context, m *manifest.Manifest, tail uint64, options string) error {
	if h.conf.WALStore == nil || sameStore(h.raw, h.rawWAL) || tail > m.ReplayAfterWAL {
		return nil
	}
	s := h.component("wal", h.raw)
	for id := m.ReplayAfterWAL + 1; ; id++ {
		at, err := s.Head(ctx, sst.WALID(id).Object(h.path))
		switch {
		case errors.Is(err, objstore.ErrNotFound):
			return nil // at most fences stood there
		case err != nil:
			return err
		case at.Size > 0:
			return invalidf("%s.WALStore holds no log, the main store does, from object %d on; leave %s.WALStore out", options, id, options)
		}
	}
}
