package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/retry"
)

// Options of Run. The zero value is right.
type Options struct {
	// Path is the database's path in the store; the probe's objects go below it.
	Path string
	// Env has the clock of retries and the randomness of names. nil: the system's.
	Env *seam.Env
	// MaxRetries bounds how often a request without an answer is sent again. 0: without
	// limit, until ctx ends. Negative: never.
	MaxRetries int
	// Retry, when set, is what the requests are retried by instead; its Env and MaxRetries
	// are used as they are.
	Retry *retry.Options
}

// folder is where probes live below the database's path, and stale the age at which the
// remains of another run are removed. It must be longer than any run.
const (
	folder = "probe"
	stale  = 24 * time.Hour
)

// Run tries the store, which must not retry by itself, and reports. The error says only that
// the store could not be reached or refused access; what the store does wrong is in the
// report, see Report.Err.
func Run(ctx context.Context, s objstore.Store, o *Options) (*Report, error) {
	if o == nil {
		o = &Options{}
	}
	env := o.Env
	if env == nil {
		env = seam.New(seam.Env{})
	}
	ro := retry.Options{Env: env, MaxRetries: o.MaxRetries}
	if o.Retry != nil {
		ro = *o.Retry
	}
	g := &guard{Store: s}
	root := folder + "/"
	if o.Path != "" {
		root = o.Path + "/" + root
	}
	r := &run{
		Store: retry.New(g, ro), env: env, root: root, p: s.Properties(),
		dir: root + strings.ToLower(env.ULID(uint64(max(env.Clock.Now().UnixMilli(), 0))).String()) + "/",
		rep: newReport(s.Properties()),
	}
	err := r.steps(ctx)
	r.rep.Requests = int(g.requests.Load())
	if err != nil {
		return nil, fmt.Errorf("probe store %q: %w", r.p.Name, err)
	}
	return r.rep, nil
}

// run is one probe.
type run struct {
	objstore.Store
	env  *seam.Env
	root string // of all probes
	dir  string // of this one
	p    objstore.Properties
	rep  *Report
}

// content is a body of 64 bytes in which no stretch occurs twice.
func content(tag byte) []byte {
	b := make([]byte, 64)
	for i := range b {
		b[i] = byte(i) ^ tag
	}
	return b
}

const idB = "01PR0BE0000000000000000000" // put-id of object b

// together runs steps at once. A step returns only what means that the store cannot be
// asked, never what it does wrong.
func (r *run) together(ctx context.Context, steps ...func(ctx context.Context) error) error {
	g, gctx := r.env.Group(ctx)
	for _, s := range steps {
		g.Go("probe", func() error { return s(gctx) })
	}
	return g.Wait()
}

// steps are the waves. Decisions are taken between the waves, so the report belongs to one
// goroutine.
func (r *run) steps(ctx context.Context) (err error) {
	a, b, c, missing := r.dir+"a", r.dir+"b", r.dir+"c", r.dir+"missing"
	var extra []string // objects to remove besides
	defer func() {
		if err != nil { // what can be removed is
			for _, k := range append([]string{a, b, c, missing}, extra...) {
				if r.Store.Delete(ctx, k) != nil {
					break
				}
			}
		}
	}()

	// Wave 1: three objects, the first by creating it. All go up at once: the first that is
	// refused for lack of access ends the rest.
	create := r.p.IfAbsent
	cond := objstore.Always
	if create {
		cond = objstore.IfAbsent()
	} else {
		r.rep.absent(CreateIfAbsent)
	}
	var v1 objstore.Version
	var first error
	err = r.together(ctx,
		func(ctx context.Context) (err error) {
			v1, err = r.Put(ctx, a, content(0x00), cond)
			first, err = split(err)
			return err
		},
		func(ctx context.Context) error {
			_, err := r.Put(ctx, b, content(0x40), objstore.Always.WithPutID(idB))
			return err
		},
		func(ctx context.Context) error { _, err := r.Put(ctx, c, content(0x80), objstore.Always); return err },
	)
	if err != nil {
		return err
	}
	if first != nil {
		r.rep.fail(CreateIfAbsent, "a put of a new object: %v", first)
	}

	// Wave 2: what must be refused, and everything that only looks.
	update := r.p.IfVersion && first == nil
	if !r.p.IfVersion {
		r.rep.absent(UpdateIfMatch)
	}
	var second, nowhere error
	var looks looks
	err = r.together(ctx,
		func(ctx context.Context) (err error) {
			if create && first == nil {
				_, err = r.Put(ctx, a, content(0x20), cond)
				second, err = split(refusal(err))
			}
			return err
		},
		func(ctx context.Context) (err error) {
			if update {
				_, err = r.Put(ctx, missing, content(0x20), objstore.IfVersion(v1))
				if err == nil {
					extra = append(extra, missing)
				}
				nowhere, err = split(refusal(err))
			}
			return err
		},
		func(ctx context.Context) (err error) {
			looks.get, looks.getErr, err = got(r.Get(ctx, b))
			return err
		},
		func(ctx context.Context) (err error) {
			looks.mid = make([]byte, 16)
			_, looks.midErr, err = got(r.ReadAt(ctx, b, looks.mid, 16))
			return err
		},
		func(ctx context.Context) (err error) {
			looks.tail = make([]byte, 64)
			looks.tailN, looks.tailErr, err = got(r.ReadAt(ctx, b, looks.tail, 48))
			return err
		},
		func(ctx context.Context) (err error) {
			looks.head, looks.headErr, err = got(r.Head(ctx, b))
			return err
		},
		func(ctx context.Context) (err error) { looks.all, err = r.keys(ctx, ""); return err },
		func(ctx context.Context) (err error) { looks.behind, err = r.keys(ctx, a); return err },
	)
	if err != nil {
		return err
	}
	if create && first == nil {
		if second != nil {
			r.rep.fail(CreateIfAbsent, "a second put: %v", second)
		}
		r.rep.pass(CreateIfAbsent)
	}
	if nowhere != nil {
		r.rep.fail(UpdateIfMatch, "an update of an object that is not there: %v", nowhere)
	}
	r.judge(&looks, a, b, c)
	extra = append(extra, looks.remains...)

	// Waves 3 to 5: an update, the same once more under the version that is gone, and what
	// is there then.
	if err := r.updates(ctx, a, v1, update); err != nil {
		return err
	}

	// Waves 6 and 7: gone is gone.
	keys := append([]string{a, b, c}, extra...)
	removals := make([]func(context.Context) error, len(keys))
	for i, k := range keys {
		removals[i] = func(ctx context.Context) error { return r.Store.Delete(ctx, k) }
	}
	if err := r.together(ctx, removals...); err != nil {
		return err
	}
	_, gone, err := got(r.Head(ctx, a))
	switch {
	case err != nil:
		return err
	case gone == nil:
		r.rep.fail(Delete, "an object is still there after its removal")
	case !errors.Is(gone, objstore.ErrNotFound):
		r.rep.fail(Delete, "a look at a removed object: %v", gone)
	}
	r.rep.pass(Delete)
	return nil
}

// updates tries the condition on a version, and reads what came of it.
func (r *run) updates(ctx context.Context, key string, v1 objstore.Version, conditional bool) error {
	want := content(0x60)
	cond := objstore.Always
	if conditional {
		cond = objstore.IfVersion(v1)
	}
	v2, err := r.Put(ctx, key, want, cond)
	odd, err := split(err)
	switch {
	case err != nil:
		return err
	case odd != nil && conditional && r.rep.Result(CreateIfAbsent).State == OK:
		r.rep.fail(UpdateIfMatch, "an update of the version that is there: %v", odd)
	case odd == nil && conditional && v2 == v1:
		r.rep.fail(UpdateIfMatch, "other content has the same version")
	}
	if odd == nil && conditional {
		_, err := r.Put(ctx, key, content(0x70), cond)
		stale, err := split(refusal(err))
		if err != nil {
			return err
		}
		if stale != nil {
			r.rep.fail(UpdateIfMatch, "an update of a version that is gone: %v", stale)
		}
		r.rep.pass(UpdateIfMatch)
	}
	o, bad, err := got(r.Get(ctx, key))
	switch {
	case err != nil:
		return err
	case bad != nil:
		r.readFailure(bad)
	case odd == nil && r.rep.Result(UpdateIfMatch).State != Failed && !bytes.Equal(o.Body, want):
		r.rep.fail(ReadAfterWrite, "a get after an overwrite returned something else")
	case odd == nil && conditional && r.rep.Result(UpdateIfMatch).State == OK && o.Version != v2:
		r.rep.fail(ReadAfterWrite, "a get tells another version than the put")
	}
	r.rep.pass(ReadAfterWrite)
	return nil
}

// split tells what a store did wrong (odd) from a failure to ask it.
func split(err error) (odd, failure error) {
	switch {
	case err == nil:
		return nil, nil
	case errors.Is(err, errOdd), errors.Is(err, errAccepted), errors.Is(err, objstore.ErrPrecondition),
		errors.Is(err, objstore.ErrNotFound), errors.Is(err, objstore.ErrRange), errors.Is(err, objstore.ErrNotSupported),
		errors.Is(err, objstore.ErrOutcomeUnknown):
		return err, nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nil, err
	case objstore.IsPermanent(err) && !denied(err):
		return err, nil // an answer, and not the one there should be
	}
	return nil, err
}

// denied reports whether the store keeps us out, which says nothing about what it can do.
func denied(err error) bool {
	var s interface{ HTTPStatus() int }
	if !errors.As(err, &s) {
		return false
	}
	switch s.HTTPStatus() {
	case 401, 403, 404, 301, 307, 308:
		return true
	}
	return false
}

var errAccepted = errors.New("the store took it, so it ignores the condition: two writers would overwrite each other")

// refusal turns the outcome of a put that had to be refused around.
func refusal(err error) error {
	switch {
	case err == nil:
		return errAccepted
	case errors.Is(err, objstore.ErrPrecondition), errors.Is(err, objstore.ErrOutcomeUnknown):
		return nil // unknown: an answer was lost, and nothing is there that was taken
	}
	return err
}

func got[T any](v T, err error) (_ T, odd, failure error) {
	odd, failure = split(err)
	return v, odd, failure
}

// listing is what a walk over all probes saw of this one.
type listing struct {
	keys    []objstore.Attributes
	remains []string // of others, old enough to remove
	order   bool
}

// maxRemains bounds what one run removes of the remains of others.
const maxRemains = 100

// keys lists this probe's objects; with after set, those behind it.
func (r *run) keys(ctx context.Context, after string) (l listing, err error) {
	l.order = true
	prefix := r.dir
	if after == "" {
		prefix = r.root // the same request finds the remains
	}
	var others []objstore.Attributes
	var now time.Time
	last := ""
	for a, err := range r.List(ctx, prefix, after) {
		if err != nil {
			odd, failure := split(err)
			if failure == nil {
				l.order = false // providers say so of disorder
				_ = odd
				return l, nil
			}
			return l, err
		}
		l.order = l.order && a.Key > last && strings.HasPrefix(a.Key, prefix) && (after == "" || a.Key > after)
		last = a.Key
		if strings.HasPrefix(a.Key, r.dir) {
			l.keys = append(l.keys, a)
			if a.Modified.After(now) {
				now = a.Modified
			}
		} else if len(others) < maxRemains {
			others = append(others, a)
		}
	}
	for _, a := range others { // by the store's own dates, so that no clock of ours matters
		if !now.IsZero() && now.Sub(a.Modified) > stale {
			l.remains = append(l.remains, a.Key)
		}
	}
	return l, nil
}

func (l *listing) has(key string) bool {
	return slices.ContainsFunc(l.keys, func(a objstore.Attributes) bool { return a.Key == key && a.Size == 64 })
}
