package manifest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

const (
	// probeAhead is how many ids are tried behind the known latest before a listing is the
	// cheaper way.
	probeAhead = 4
	// latestRounds limits how often the search for the latest version starts again because
	// what was listed is gone or dead. A collector makes a round or two fail; more means that
	// the listing, the objects and the boundary contradict each other (arbitrary).
	latestRounds = 10
	// The pause between conflicts and rounds, doubled each time and jittered: two processes
	// in step would collide again and again.
	firstPause = 2 * time.Millisecond
	maxPause   = 500 * time.Millisecond
)

// A VersionInfo describes one stored version.
type VersionInfo struct {
	ID       uint64
	Size     int64
	Modified time.Time
}

// codec is what sequenced needs to know about its content.
type codec[T any] struct {
	what   string // "manifest": in messages, points and errors
	decode func(object string, id uint64, data []byte) (*T, error)
	encode func(*T) ([]byte, error)
	clone  func(*T) *T
	id     func(*T) uint64
	seal   func(*T, uint64)        // makes a mutated copy the version with this id
	check  func(old, new *T) error // before every PUT
	empty  error                   // there is no version at all
}

// sequenced is an object kept as numbered versions, each written once by create-if-absent.
type sequenced[T any] struct {
	codec[T]
	store    objstore.Store
	env      *seam.Env
	dir, ext string // dir ends with a slash
	boundary *Boundary

	turn chan struct{} // holds one token while an update runs
	mu   struct {
		sync.Mutex
		latest *T   // newest version read or written here; ids only rise
		dead   bool // latest turned out to be at or below the boundary
	}
}

func newSequenced[T any](s objstore.Store, root, dir string, env *seam.Env, c codec[T]) *sequenced[T] {
	if root != "" {
		root += "/"
	}
	return &sequenced[T]{
		codec: c, store: s, env: env, dir: root + dir + "/", ext: "." + dir,
		boundary: &Boundary{store: s, key: root + "gc/" + dir + ".boundary", env: env},
		turn:     make(chan struct{}, 1),
	}
}

func (q *sequenced[T]) key(id uint64) string { return fmt.Sprintf("%s%020d%s", q.dir, id, q.ext) }

// parse returns the id of a listed key. Other names in the directory are none of ours.
func (q *sequenced[T]) parse(key string) (uint64, bool) {
	const digits = 20
	name, ok := strings.CutSuffix(strings.TrimPrefix(key, q.dir), q.ext)
	if !ok || len(name) != digits || strings.Trim(name, "0123456789") != "" {
		return 0, false
	}
	id, err := strconv.ParseUint(name, 10, 64)
	return id, err == nil && id > 0
}

// known returns the newest valid version known, nil when there is none to start from.
func (q *sequenced[T]) known() *T {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.dead {
		return nil
	}
	return q.mu.latest
}

// shown returns the newest version ever known, valid or not.
func (q *sequenced[T]) shown() *T {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.latest
}

// learn remembers v unless something newer is known, and returns the newer of both.
func (q *sequenced[T]) learn(v *T) *T {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.latest == nil || q.id(q.mu.latest) < q.id(v) {
		q.mu.latest, q.mu.dead = v, false
	}
	return q.mu.latest
}

// drop marks the versions up to id as dead.
func (q *sequenced[T]) drop(id uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.latest != nil && q.id(q.mu.latest) <= id {
		q.mu.dead = true
	}
}

// get reads one version; found is false when there is no such object.
func (q *sequenced[T]) get(ctx context.Context, id uint64) (v *T, found bool, err error) {
	key := q.key(id)
	o, err := q.store.Get(ctx, key)
	if errors.Is(err, objstore.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, storeError("read "+q.what, key, err)
	}
	v, err = q.decode(key, id, o.Body)
	return v, err == nil, err
}

// read reads a version that must exist. There is no boundary check: checkpoints pin versions
// below it.
func (q *sequenced[T]) read(ctx context.Context, id uint64) (*T, error) {
	v, found, err := q.get(ctx, id)
	if err == nil && !found {
		err = sst.Corrupt(q.key(id), -1, fmt.Errorf("%s %d is gone: %w", q.what, id, objstore.ErrNotFound))
	}
	return v, err
}

// list returns the versions with from <= id < to (to 0: no end), ascending.
func (q *sequenced[T]) list(ctx context.Context, from, to uint64) ([]VersionInfo, error) {
	after := ""
	if from > 1 {
		after = q.key(from - 1)
	}
	var out []VersionInfo
	for a, err := range q.store.List(ctx, q.dir, after) {
		if err != nil {
			return nil, storeError("list", q.dir, err)
		}
		id, ok := q.parse(a.Key)
		if !ok || id < from {
			continue
		}
		if to != 0 && id >= to {
			break
		}
		out = append(out, VersionInfo{ID: id, Size: a.Size, Modified: a.Modified})
	}
	return out, nil
}

// latest finds the newest valid version.
func (q *sequenced[T]) latest(ctx context.Context) (*T, error) { return q.find(ctx, true) }

// listed is latest for a process that stood still: it does not begin at the version it knew.
func (q *sequenced[T]) listed(ctx context.Context) (*T, error) { return q.find(ctx, false) }

func (q *sequenced[T]) find(ctx context.Context, probe bool) (*T, error) {
	object, problem := q.dir, error(nil)
	for round := range latestRounds {
		if round > 1 { // one repetition is ordinary: the first used what was cached
			if err := q.pause(ctx, round-1); err != nil {
				return nil, err
			}
		}
		v, err := q.newest(ctx, probe)
		if err != nil {
			return nil, err
		}
		probe = false
		if v == nil {
			object, problem = q.dir, contentf("the listed latest %s is gone", q.what)
			continue
		}
		// After the read, never before it: a version that was deleted meanwhile, or one
		// that looks latest because its successor was deleted, is caught by this.
		dead, err := q.boundary.Read(ctx)
		if err != nil {
			return nil, err
		}
		if q.id(v) > dead {
			return q.learn(v), nil
		}
		object, problem = q.boundary.key, contentf("boundary %d is not below the latest %s %d", dead, q.what, q.id(v))
		q.drop(dead)
	}
	return nil, sst.Corrupt(object, -1, fmt.Errorf("%w, after %d rounds", problem, latestRounds))
}

// look is a cheaper latest for polls: one request when there is nothing new. It asks for the
// version behind the newest one known only, so it misses what was written and collected
// between two looks; a latest now and then finds that too.
func (q *sequenced[T]) look(ctx context.Context) (*T, error) {
	known := q.known()
	if known == nil {
		return q.latest(ctx)
	}
	_, found, err := q.get(ctx, q.id(known)+1)
	switch {
	case err != nil:
		return nil, err
	case found:
		return q.latest(ctx)
	}
	return known, nil
}

// newest returns the newest version that can be found, nil when it was gone at the second
// look.
func (q *sequenced[T]) newest(ctx context.Context, probe bool) (*T, error) {
	last := q.known()
	if probe && last != nil {
		for range probeAhead {
			v, found, err := q.get(ctx, q.id(last)+1)
			if err != nil {
				return nil, err
			}
			if !found {
				return last, nil
			}
			last = v
		}
	} else {
		last = nil
	}
	var from uint64
	if last != nil {
		from = q.id(last)
	}
	vs, err := q.list(ctx, from, 0)
	if err != nil {
		return nil, err
	}
	switch n := len(vs); {
	case n > 0 && last != nil && vs[n-1].ID == q.id(last):
		return last, nil
	case n > 0:
		v, _, err := q.get(ctx, vs[n-1].ID)
		return v, err
	case last != nil:
		return nil, nil // collected since it was read
	}
	return nil, q.empty
}

// create writes the first version.
func (q *sequenced[T]) create(ctx context.Context, v *T) (*T, error) {
	if err := q.acquire(ctx); err != nil {
		return nil, err
	}
	defer q.release()
	next := q.clone(v)
	q.seal(next, 1)
	stored, err := q.put(ctx, nil, next)
	if err == nil && !stored {
		err = fmt.Errorf("create %s: %w", q.key(1), ErrExists)
	}
	if err != nil {
		return nil, err
	}
	return next, nil
}

// change makes the next version out of a private copy of the newest one. It is called again
// with a newer one after a conflict.
type change[T any] func(next *T) error

// update applies f until the result is stored.
func (q *sequenced[T]) update(ctx context.Context, f change[T]) (*T, error) {
	if err := q.acquire(ctx); err != nil {
		return nil, err
	}
	defer q.release()
	base := q.known()
	for round := 0; ; round++ {
		if base == nil {
			var err error
			if base, err = q.latest(ctx); err != nil {
				return nil, err
			}
		}
		next := q.clone(base)
		if err := f(next); err != nil {
			if errors.Is(err, ErrUnchanged) {
				return base, nil
			}
			return nil, err
		}
		id := q.id(base) + 1
		if id == 0 {
			return nil, sst.Corrupt(q.key(q.id(base)), -1, contentf("no id is left behind this one"))
		}
		q.seal(next, id)
		stored, err := q.put(ctx, base, next)
		if err != nil {
			return nil, err
		}
		if stored {
			return next, nil
		}
		// Somebody else was first, or this id is dead. The first repetition is at once:
		// most conflicts are with a single edit.
		if round > 0 {
			if err := q.pause(ctx, round); err != nil {
				return nil, err
			}
		}
		base = nil
	}
}

// put stores next under its id and reports false when the id is taken or dead. An error leaves
// open whether the version was stored.
func (q *sequenced[T]) put(ctx context.Context, base, next *T) (bool, error) {
	id := q.id(next)
	key := q.key(id)
	if err := q.check(base, next); err != nil {
		return false, fmt.Errorf("write %s: %w", key, err)
	}
	body, err := q.encode(next)
	if err != nil {
		return false, fmt.Errorf("write %s: %w", key, invalid(err))
	}
	q.env.Point(q.what + ".before-put")
	_, err = q.store.Put(ctx, key, body, objstore.IfAbsent())
	if errors.Is(err, objstore.ErrPrecondition) {
		q.env.Point(q.what + ".conflict")
		return false, nil
	}
	if err != nil {
		return false, storeError("write "+q.what, key, err)
	}
	q.env.Point(q.what + ".after-put")
	dead, err := q.boundary.Read(ctx)
	if err != nil {
		return false, fmt.Errorf("confirm %s: %w", key, err)
	}
	if id <= dead {
		q.drop(dead)
		return false, nil
	}
	q.learn(next)
	return true, nil
}

// acquire waits for its turn among the updates of this process.
func (q *sequenced[T]) acquire(ctx context.Context) error {
	select {
	case q.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("update %s: %w", q.what, context.Cause(ctx))
	}
}

func (q *sequenced[T]) release() { <-q.turn }

// pause waits between attempt n (from 1) and the next.
func (q *sequenced[T]) pause(ctx context.Context, n int) error {
	d := min(firstPause<<min(n, 10), maxPause)
	d = d/2 + time.Duration(q.env.Float64()*float64(d/2))
	if err := q.env.Sleep(ctx, d); err != nil {
		return fmt.Errorf("update %s: %w", q.what, context.Cause(ctx))
	}
	return nil
}

// invalid marks a broken promise of our own callers, as opposed to one of the bytes read.
func invalid(err error) error { return fmt.Errorf("%w: %w", kv.ErrInternal, err) }
