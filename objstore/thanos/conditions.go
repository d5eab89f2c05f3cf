package thanos

import (
	"context"
	"errors"
	"io"
	"iter"
	"path"

	tobj "github.com/thanos-io/objstore"

	"github.com/slatedb/slatedb-go/objstore"
)

// WrapWith returns a Store that can carry a database: tables, the large objects in folders
// named "compacted", are in bucket, and everything that is written under a condition
// (manifests, the log, job lists) is in conditional, which the caller brings along. That may
// be a store of another cloud, or a client of the same bucket that knows conditions.
//
// The capabilities are those of conditional, and so is what a probe at open tries. Both must
// be there for the database to be read; every process needs the same pair. A listing asks
// both.
func WrapWith(bucket tobj.Bucket, conditional objstore.Store) objstore.Store {
	return &pair{tables: Wrap(bucket), rest: conditional}
}

// tableFolder is the folder of a database's tables.
const tableFolder = "compacted"

type pair struct{ tables, rest objstore.Store }

func isTable(key string) bool { return path.Base(path.Dir(key)) == tableFolder }

func (p *pair) of(key string) objstore.Store {
	if isTable(key) {
		return p.tables
	}
	return p.rest
}

// Properties implements objstore.Store.
func (p *pair) Properties() objstore.Properties {
	out := p.rest.Properties()
	out.Name = p.tables.Properties().Name + " with conditions of " + out.Name
	out.Local = false
	return out
}

// Get implements objstore.Store.
func (p *pair) Get(ctx context.Context, key string) (objstore.Object, error) {
	return p.of(key).Get(ctx, key)
}

// ReadAt implements objstore.Store.
func (p *pair) ReadAt(ctx context.Context, key string, b []byte, off int64) (int, error) {
	return p.of(key).ReadAt(ctx, key, b, off)
}

// Put implements objstore.Store.
func (p *pair) Put(ctx context.Context, key string, body []byte, c objstore.Condition) (objstore.Version, error) {
	return p.of(key).Put(ctx, key, body, c)
}

// Upload implements objstore.Store.
func (p *pair) Upload(ctx context.Context, key string, body io.Reader, c objstore.Condition) (objstore.Version, error) {
	return p.of(key).Upload(ctx, key, body, c)
}

// Head implements objstore.Store.
func (p *pair) Head(ctx context.Context, key string) (objstore.Attributes, error) {
	return p.of(key).Head(ctx, key)
}

// Delete implements objstore.Store.
func (p *pair) Delete(ctx context.Context, key string) error { return p.of(key).Delete(ctx, key) }

// List implements objstore.Store. What lies in the wrong one of the two is left out.
func (p *pair) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Attributes, error] {
	return func(yield func(objstore.Attributes, error) bool) {
		a, stopA := pull(ctx, p.tables, true, prefix, after)
		defer stopA()
		b, stopB := pull(ctx, p.rest, false, prefix, after)
		defer stopB()
		x, errX := a()
		y, errY := b()
		for {
			switch {
			case errX != nil && errX != errEnd:
				yield(objstore.Attributes{}, errX)
				return
			case errY != nil && errY != errEnd:
				yield(objstore.Attributes{}, errY)
				return
			case errX != nil && errY != nil:
				return
			case errY != nil || errX == nil && x.Key < y.Key:
				if !yield(x, nil) {
					return
				}
				x, errX = a()
			default:
				if !yield(y, nil) {
					return
				}
				y, errY = b()
			}
		}
	}
}

// errEnd is the end of a listing, and no error that a store returns.
var errEnd = errors.New("the end")

// pull returns the tables of s, or what is none, one at a call, and errEnd behind them.
func pull(ctx context.Context, s objstore.Store, tables bool, prefix, after string) (next func() (objstore.Attributes, error), stop func()) {
	pull, stop := iter.Pull2(s.List(ctx, prefix, after))
	return func() (objstore.Attributes, error) {
		for {
			a, err, ok := pull()
			switch {
			case !ok:
				return a, errEnd
			case err != nil || isTable(a.Key) == tables:
				return a, err
			}
		}
	}, stop
}
