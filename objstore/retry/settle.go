package retry

import (
	"context"
	"errors"
	"fmt"

	"github.com/slatedb/slatedb-go/objstore"
)

// How a conditional write is settled. "Open" means that an attempt failed without a clear
// answer, so that it may have taken effect, now or later.
//
//	answer               the store keeps put-ids                    it does not
//	success              done                                       done
//	refused              HEAD                                       open: unknown; else refused
//	no clear answer      now open: wait, HEAD                       now open: wait, send again
//	nothing was written  wait, send again                           wait, send again
//	a conflict, again    wait, HEAD                                 wait, HEAD
//
//	HEAD says            create                                     update from version v
//	our id               done, with the version it tells            done
//	no object            send again                                 open: unknown; else refused
//	another id           refused                                    version is v: send again
//	                                                                open: unknown; else refused
//
// Sending again under the same id is safe however late an earlier attempt lands: the store
// takes at most one of them, and which one does not matter. A refusal is looked at even when
// nothing is open, since a proxy may have sent the request twice.
//
// "Unknown" for an update: ours may have landed and been replaced by another since. The
// answer would be a guess, so it is ErrOutcomeUnknown.

type writeFunc func(ctx context.Context, c objstore.Condition) (objstore.Version, error)

func (r *request) write(c objstore.Condition, send writeFunc) (v objstore.Version, err error) {
	if c.IsAlways() {
		err = r.do(func(ctx context.Context) (err error) {
			v, err = send(ctx, c)
			return err
		})
		return v, err
	}
	if c.PutID() == "" {
		env := r.s.o.Env
		c = c.WithPutID(env.ULID(uint64(max(env.Clock.Now().UnixMilli(), 0))).String())
	}
	keepsID := r.s.Properties().PutID
	var open bool
	for {
		err := r.attempt(func(ctx context.Context) (err error) {
			v, err = send(ctx, c)
			return err
		})
		if err == nil {
			return v, nil
		}
		refused := errors.Is(err, objstore.ErrPrecondition)
		if refused && !keepsID {
			if open {
				return "", r.unknown(err)
			}
			return "", err
		}
		if !refused {
			// A final error is a clear answer, but for a cancellation: that may come at any time.
			clear := objstore.IsNoEffect(err) || (final(err) && !errors.Is(err, context.Canceled))
			open = open || !clear
			if err := r.again(err); err != nil {
				return "", r.lost(open, err)
			}
			// A conflict that stays is looked into as well: some servers answer so where they
			// should refuse, and would go on for ever.
			stuck := !open && conflicts(err) && r.failed >= stuckAfter
			if !stuck && (!keepsID || !open) {
				continue
			}
		}
		v, done, err := r.settle(c, open, err)
		if done || err != nil {
			return v, err
		}
		if refused {
			// The store refused what its own HEAD allows: somebody deleted the object in
			// between, or it is confused. Either way, not at full speed.
			if err := r.again(errVanished); err != nil {
				return "", r.lost(open, err)
			}
		}
	}
}

// stuckAfter is how many conflicts in a row are taken for requests that pass each other.
const stuckAfter = 2

func conflicts(err error) bool {
	var c interface{ Conflict() bool }
	return errors.As(err, &c) && c.Conflict()
}

var errVanished = errors.New("the store refused a conditional put, and nothing is there that it could have refused it for")

// settle reads the put-id back. done means that our write stands, no error and not done
// that it is to be sent again.
func (r *request) settle(c objstore.Condition, open bool, cause error) (v objstore.Version, done bool, err error) {
	var a objstore.Attributes
	for {
		err := r.attempt(func(ctx context.Context) (err error) {
			a, err = r.s.Store.Head(ctx, r.key)
			return err
		})
		if err == nil || errors.Is(err, objstore.ErrNotFound) {
			old, update := c.OldVersion()
			switch {
			case err == nil && a.PutID == c.PutID():
				return a.Version, true, nil
			case !update && err != nil, update && err == nil && a.Version == old:
				return "", false, nil
			case update && open:
				return "", false, r.unknown(cause)
			}
			return "", false, fmt.Errorf("%s %s: %w", r.method, r.key, objstore.ErrPrecondition)
		}
		if err := r.again(err); err != nil {
			return "", false, r.lost(open, err)
		}
	}
}

// lost says of a final error that it leaves the outcome open. The end of the caller's ctx
// always may, and comes back as itself.
func (r *request) lost(open bool, err error) error {
	if !open || r.ctx.Err() != nil {
		return err
	}
	return r.unknown(err)
}

func (r *request) unknown(cause error) error {
	// The cause only as text: "precondition failed" is what this is not.
	if errors.Is(cause, objstore.ErrPrecondition) {
		return fmt.Errorf("%s %s: %w (%v)", r.method, r.key, objstore.ErrOutcomeUnknown, cause)
	}
	return fmt.Errorf("%s %s: %w: %w", r.method, r.key, objstore.ErrOutcomeUnknown, cause)
}
