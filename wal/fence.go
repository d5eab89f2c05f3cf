package wal

import (
	"context"
	"errors"
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

const (
	probeRound = 8  // exponents asked at once
	probeMax   = 48 // the log is shorter than 2^48 objects behind any manifest
)

// FindTail returns the id of the newest object above after, or after when there is none. Ids
// have no gaps, so existence is monotone: it asks for after+1, +2, +4, ... in rounds of 8 at
// once and then cuts the interval between the last hit and the first miss into nine by 8
// more at once, again and again: round trips cost more here than requests.
func FindTail(ctx context.Context, s objstore.Store, env *seam.Env, root string, after uint64) (uint64, error) {
	lo, hi := uint64(0), uint64(1)<<probeMax // offsets: lo exists, hi does not
	if after > ^uint64(0)-hi {
		return 0, fmt.Errorf("find the log's tail after %d: %w: no such id", after, kv.ErrCorrupt)
	}
	for e := 0; e < probeMax && hi == 1<<probeMax; e += probeRound {
		hit, err := probe(ctx, s, env, probeRound, func(i int) string { return sst.WALID(after + 1<<(e+i)).Object(root) })
		if err != nil {
			return 0, err
		}
		for i, h := range hit {
			if !h {
				hi = 1 << (e + i)
				break
			}
			lo = 1 << (e + i)
		}
	}
	for hi-lo > 1 {
		n := min(probeRound, hi-lo-1) // offsets strictly between lo and hi, evenly spread
		step := (hi - lo) / (n + 1)
		base := after + lo
		hit, err := probe(ctx, s, env, int(n), func(i int) string { return sst.WALID(base + step*uint64(i+1)).Object(root) })
		if err != nil {
			return 0, err
		}
		for i := range n {
			if !hit[i] {
				hi = base - after + step*(i+1)
				break
			}
			lo = base - after + step*(i+1)
		}
	}
	return after + lo, nil
}

// probe asks for up to probeRound objects at once.
func probe(ctx context.Context, s objstore.Store, env *seam.Env, n int, name func(int) string) (hit [probeRound]bool, err error) {
	g, gctx := env.Group(ctx)
	for i := range n {
		g.Go("wal probe", func() (err error) {
			hit[i], err = exists(gctx, s, name(i))
			return err
		})
	}
	err = g.Wait()
	return hit, err
}

// Exists reports whether the log has object id.
func Exists(ctx context.Context, s objstore.Store, root string, id uint64) (bool, error) {
	return exists(ctx, s, sst.WALID(id).Object(root))
}

func exists(ctx context.Context, s objstore.Store, name string) (bool, error) {
	_, err := s.Head(ctx, name)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, objstore.ErrNotFound):
		return false, nil
	}
	return false, requestError(ctx, "probe", name, err)
}

// Fence takes the first free id at or above id with a zero-byte object and returns it: the
// older writer, which takes ids one by one, can put nothing any more. Each time an id turns
// out to be taken, confirm says whether the caller still owns the writer epoch; its error
// ends the attempt, for a writer that was overtaken must not fence its successor. There is no
// limit of attempts but ctx, since each one means that the older writer stored an object.
func Fence(ctx context.Context, s objstore.Store, env *seam.Env, root string, id uint64, confirm func(context.Context) error) (uint64, error) {
	for ; ; id++ {
		name := sst.WALID(id).Object(root)
		env.Point("wal.fence.before-put")
		_, err := s.Put(ctx, name, nil, objstore.IfAbsent())
		if err == nil {
			env.Point("wal.fence.after-put")
			return id, nil
		}
		if !errors.Is(err, objstore.ErrPrecondition) {
			if errors.Is(err, objstore.ErrOutcomeUnknown) {
				return 0, fmt.Errorf("fence %s: %w: %w", name, kv.ErrOutcomeUnknown, err)
			}
			return 0, requestError(ctx, "fence", name, err)
		}
		if err := confirm(ctx); err != nil {
			return 0, err
		}
		if err := ctx.Err(); err != nil {
			return 0, fmt.Errorf("fence %s: %w", name, err)
		}
	}
}

// requestError wraps a failed request. The end of the caller's ctx is not the store's fault
// and comes back as what it is.
func requestError(ctx context.Context, op, name string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", op, name, ctx.Err())
	}
	return fmt.Errorf("%s %s: %w: %w", op, name, kv.ErrUnavailable, err)
}
