package slatedb

import (
	"context"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/sst"
)

// WarmOptions say what of a table to load into the block cache.
type WarmOptions struct {
	// Range is what the blocks to load lie in. The zero value is all that the database shows
	// of the table.
	Range Range
	// MetaOnly loads index, filters and statistics and no blocks.
	MetaOnly bool
}

// WarmSST loads parts of a table into the block cache: its index, filters and statistics and,
// unless o says otherwise, its blocks. id is the table's ULID, as in a manifest. A table that
// the database does not have (any more) is no error, and neither is a handle without a cache.
// A program that warms many tables calls it from several goroutines; what the cache has no
// room for pushes out what was used least.
func (db *DB) WarmSST(ctx context.Context, id string, o *WarmOptions) error {
	return db.warm(ctx, id, o)
}

// EvictSST removes from the block cache what it holds of a table, for every handle that shares
// the cache. Reads go on, and what they read is cached again. An unknown table is no error.
// The disk cache keeps its parts.
func (db *DB) EvictSST(id string) error { return db.evict(id) }

// WarmSST is DB.WarmSST.
func (r *Reader) WarmSST(ctx context.Context, id string, o *WarmOptions) error {
	_, err := retried(ctx, r, func() (struct{}, error) { return struct{}{}, r.warm(ctx, id, o) })
	return err
}

// EvictSST is DB.EvictSST.
func (r *Reader) EvictSST(id string) error { return r.evict(id) }

func (h *handle) warm(ctx context.Context, id string, o *WarmOptions) error {
	if o == nil {
		o = &WarmOptions{}
	}
	rng, err := o.Range.clone()
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	st, shown, err := h.shown(id)
	if err != nil || len(shown) == 0 || !h.ssts.Cached() {
		return err
	}
	st.use.begin()
	defer st.use.end()
	for _, v := range shown {
		if _, err := v.Reader().Meta(ctx); err != nil || o.MetaOnly {
			return err
		}
		it := sst.NewGroup(ctx, h.ssts, sst.GroupOptions{Fill: true}).Iter(v, rng, false)
		for it.Next() {
		}
		if err := it.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (h *handle) evict(id string) error {
	_, shown, err := h.shown(id)
	for _, v := range shown {
		v.Reader().Evict()
	}
	return err
}

// shown returns the views of a table in the newest state, several in a clone of several parts.
func (h *handle) shown(id string) (*state, []*sst.ViewReader, error) {
	tid, err := parseTableID(id)
	if err != nil {
		return nil, nil, err
	}
	v, err := h.view(DurabilityMemory, false)
	if err != nil {
		return nil, nil, err
	}
	var out []*sst.ViewReader
	for _, t := range v.tablesIn(kv.Range{}) {
		if t.Reader().Handle().ID == tid {
			out = append(out, t)
		}
	}
	return v.st, out, nil
}

// parseTableID reads a ULID with or without ".sst".
func parseTableID(id string) (sst.ID, error) {
	u, err := ulid.ParseStrict(strings.TrimSuffix(id, ".sst"))
	if err != nil {
		return sst.ID{}, invalidf("table %q is no ULID: %v", id, err)
	}
	return sst.TableID(u), nil
}
