package manifest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// A Boundary is the file that makes deleting old versions safe: every id at or below its
// number is dead, even if an object with that id exists (a process that slept through the
// deletion may have written it again). The number only grows.
type Boundary struct {
	store objstore.Store
	key   string
	env   *seam.Env
	// seen is the largest number read so far: a file that went missing does not lower it.
	seen atomic.Uint64
}

// boundaryRounds limits how often Advance meets a newer version of the file. Each time
// another collector has advanced it, so a few are plenty (arbitrary).
const boundaryRounds = 20

// Key returns the key of the object.
func (b *Boundary) Key() string { return b.key }

// Read returns the number: 0 when there is no file, never less than an earlier answer.
func (b *Boundary) Read(ctx context.Context) (uint64, error) {
	n, _, _, err := b.get(ctx)
	return n, err
}

func (b *Boundary) get(ctx context.Context) (n uint64, v objstore.Version, exists bool, err error) {
	o, err := b.store.Get(ctx, b.key)
	if errors.Is(err, objstore.ErrNotFound) {
		return b.seen.Load(), "", false, nil
	}
	if err != nil {
		return 0, "", false, storeError("read boundary", b.key, err)
	}
	n, err = parseBoundary(o.Body)
	if err != nil {
		return 0, "", false, sst.Corrupt(b.key, -1, err)
	}
	for {
		old := b.seen.Load()
		if old >= n {
			return old, o.Version, true, nil
		}
		if b.seen.CompareAndSwap(old, n) {
			return n, o.Version, true, nil
		}
	}
}

func parseBoundary(body []byte) (uint64, error) {
	const most = 64 // 20 digits and some white space
	if len(body) > most {
		return 0, contentf("boundary of %d bytes", len(body))
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(body)), 10, 64)
	if err != nil {
		return 0, contentf("boundary %q is not a number", body)
	}
	return n, nil
}

// Advance raises the number to at least the given one. It must have returned nil before any
// version up to that id is deleted. objstore.ErrNotSupported means that the store cannot
// overwrite conditionally, so nothing may be deleted.
func (b *Boundary) Advance(ctx context.Context, to uint64) error {
	for range boundaryRounds {
		n, version, exists, err := b.get(ctx)
		if err != nil {
			return err
		}
		if n >= to && (exists || to == 0) {
			return nil
		}
		c := objstore.IfAbsent()
		if exists {
			if version == "" {
				return fmt.Errorf("advance boundary %s: no version to compare with: %w", b.key, objstore.ErrNotSupported)
			}
			c = objstore.IfVersion(version)
		}
		next := max(n, to) // a file that went missing comes back with what it said
		b.env.Point("boundary.before-put")
		_, err = b.store.Put(ctx, b.key, strconv.AppendUint(nil, next, 10), c)
		if err == nil {
			b.env.Point("boundary.after-put")
			continue // the next round reads it back and remembers it
		}
		if !errors.Is(err, objstore.ErrPrecondition) {
			return storeError("advance boundary", b.key, err)
		}
	}
	return fmt.Errorf("advance boundary %s: %d conflicts in a row: %w", b.key, boundaryRounds, kv.ErrUnavailable)
}
