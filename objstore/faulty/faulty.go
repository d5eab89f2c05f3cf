package faulty

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
)

// Store is an objstore.Store with faults.
type Store struct {
	inner objstore.Store
	env   *seam.Env
	props objstore.Properties

	dead  atomic.Bool
	crash struct {
		at    atomic.Int64 // the number of the request that crashes, 0 = none
		after atomic.Bool
	}
	total atomic.Int64
	late  sync.WaitGroup

	mu     sync.Mutex
	rules  []*Active
	counts map[string]int
	log    []Request
	record bool
}

// New returns inner without any fault yet. env may be nil.
func New(inner objstore.Store, env *seam.Env) *Store {
	if env == nil {
		env = seam.New(seam.Env{})
	}
	return &Store{inner: inner, env: env, props: inner.Properties(), counts: make(map[string]int)}
}

// Script adds a rule behind those that are there.
func (s *Store) Script(r Rule) *Active {
	a := &Active{rule: r, s: s, reached: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(slices.Clip(s.rules), a)
	return a
}

func (s *Store) remove(a *Active) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = slices.DeleteFunc(slices.Clone(s.rules), func(b *Active) bool { return a == b })
}

// Clear removes every rule and a crash to come.
func (s *Store) Clear() {
	s.crash.at.Store(0)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = nil
}

// SetProperties changes what the store says of itself. A capability that is taken away is
// refused with ErrNotSupported, and put-ids are dropped.
func (s *Store) SetProperties(change func(p *objstore.Properties)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.props)
}

// Crash ends this handle: every call from now on, and the answer of every call that is
// under way, is ErrCrashed, and no call begun later reaches the store below. What was handed
// down before, by a call under way or by ErrorThenEffect, may still take effect, as a
// request does that is on the network when its process dies.
func (s *Store) Crash() { s.dead.Store(true) }

// CrashAt crashes at the nth request from now, 1 being the next: before it takes effect, or
// after it did. A request that a Rule fails counts too.
func (s *Store) CrashAt(n int, afterEffect bool) {
	s.crash.after.Store(afterEffect)
	s.crash.at.Store(s.total.Load() + int64(n))
}

// Crashed reports whether it has happened.
func (s *Store) Crashed() bool { return s.dead.Load() }

// Requests returns how many requests came in, those to a crashed store not counted.
func (s *Store) Requests() int { return int(s.total.Load()) }

// Count returns how many requests of a method came in.
func (s *Store) Count(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[method]
}

// Record begins or ends keeping a log of the requests.
func (s *Store) Record(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record, s.log = on, nil
}

// Log returns the requests since Record(true).
func (s *Store) Log() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// Wait returns when every late effect of ErrorThenEffect has happened.
func (s *Store) Wait() { s.late.Wait() }

// call is one request on its way. before runs the fault up to the effect, after behind it.
type call struct {
	s        *Store
	rule     *Rule // nil: none matches
	active   *Active
	crash    bool // at this request
	unsafely bool // forget the condition
	twice    bool
}

func (s *Store) begin(ctx context.Context, r Request) (*call, error) {
	if s.dead.Load() {
		return nil, ErrCrashed
	}
	// A real store's client does not send under an ended ctx.
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	seam.Disturb()
	n := s.total.Add(1)
	s.mu.Lock()
	s.counts[r.Method]++
	if s.record {
		s.log = append(s.log, r)
	}
	rules := s.rules
	s.mu.Unlock()
	c := &call{s: s, crash: n == s.crash.at.Load()}
	for _, a := range rules {
		if a.takes(r) {
			c.rule, c.active = &a.rule, a
			break
		}
	}
	if c.crash && !s.crash.after.Load() {
		s.dead.Store(true)
		return nil, ErrCrashed
	}
	if err := c.before(ctx, r); err != nil {
		return nil, err
	}
	if s.dead.Load() { // while it waited
		return nil, ErrCrashed
	}
	return c, nil
}

func (c *call) before(ctx context.Context, r Request) error {
	u := c.rule
	if u == nil {
		return nil
	}
	switch u.Kind {
	case ErrorBefore:
		return u.err()
	case Delay:
		return c.s.env.Sleep(ctx, u.Delay)
	case Hang:
		<-ctx.Done()
		return ctx.Err()
	case Block:
		return block(ctx, u)
	case Call:
		if u.Do != nil {
			return u.Do(ctx, r)
		}
	case Unconditional:
		c.unsafely = true
	case Twice:
		c.twice = true
	}
	return nil
}

func block(ctx context.Context, u *Rule) error {
	select {
	case <-u.Release:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// after gets the true error of the effect and returns what the caller sees.
func (c *call) after(ctx context.Context, err error) error {
	if c.crash {
		c.s.dead.Store(true)
	}
	if u := c.rule; u != nil {
		switch u.Kind {
		case ErrorAfter:
			err = u.err()
		case HangAfter:
			c.active.reach()
			<-ctx.Done()
			err = ctx.Err()
		case BlockAfter:
			c.active.reach()
			if berr := block(ctx, u); berr != nil {
				err = berr
			}
		}
	}
	if c.s.dead.Load() {
		return ErrCrashed
	}
	return err
}

// lates reports whether the effect comes after the error, and then sends it on its way.
func (c *call) lates(effect func(ctx context.Context)) bool {
	if c.rule == nil || c.rule.Kind != ErrorThenEffect {
		return false
	}
	d := c.rule.Delay
	c.s.late.Add(1)
	c.s.env.Spawn("faulty-late", func() {
		defer c.s.late.Done()
		if c.s.env.Sleep(context.Background(), d) == nil {
			effect(context.Background())
		}
	})
	return true
}

// seen is what the caller gets of a body.
func (c *call) seen(b []byte) []byte {
	if c.rule == nil {
		return b
	}
	switch {
	case c.rule.Kind == Short:
		return b[: len(b)/2 : len(b)/2]
	case c.rule.Kind == Alter && c.rule.Change != nil:
		return c.rule.Change(bytes.Clone(b))
	}
	return b
}

// bodyErr is the error beside a body.
func (c *call) bodyErr(err error) error {
	if err == nil && c.rule != nil && c.rule.Kind == Short {
		return c.rule.Err
	}
	return err
}

func (s *Store) Get(ctx context.Context, key string) (objstore.Object, error) {
	c, err := s.begin(ctx, Request{Method: "get", Key: key})
	if err != nil {
		return objstore.Object{}, err
	}
	if c.lates(func(context.Context) {}) {
		return objstore.Object{}, c.rule.err()
	}
	o, err := s.inner.Get(ctx, key)
	if err := c.after(ctx, err); err != nil {
		return objstore.Object{}, err
	}
	o.Body = c.seen(o.Body)
	if c.rule != nil && c.rule.Kind == Alter {
		o.Size = int64(len(o.Body)) // a wrong object, not a broken answer; that is Short
	}
	return o, c.bodyErr(nil)
}

func (s *Store) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	c, err := s.begin(ctx, Request{Method: "read", Key: key, Off: off, Len: len(p)})
	if err != nil {
		return 0, err
	}
	if c.lates(func(context.Context) {}) {
		return 0, c.rule.err()
	}
	n, err := s.inner.ReadAt(ctx, key, p, off)
	if err = c.after(ctx, err); err != nil && !errors.Is(err, objstore.ErrRange) {
		return 0, err
	}
	n = copy(p, c.seen(p[:n]))
	return n, c.bodyErr(err)
}

func (s *Store) Put(ctx context.Context, key string, body []byte, cond objstore.Condition) (objstore.Version, error) {
	return s.write(ctx, Request{Method: "put", Key: key, Len: len(body)}, cond,
		func(ctx context.Context, cond objstore.Condition) (objstore.Version, error) {
			return s.inner.Put(ctx, key, body, cond)
		},
		func() (func(ctx context.Context, cond objstore.Condition), error) {
			body := bytes.Clone(body)
			return func(ctx context.Context, cond objstore.Condition) { _, _ = s.inner.Put(ctx, key, body, cond) }, nil
		})
}

func (s *Store) Upload(ctx context.Context, key string, body io.Reader, cond objstore.Condition) (objstore.Version, error) {
	return s.write(ctx, Request{Method: "upload", Key: key}, cond,
		func(ctx context.Context, cond objstore.Condition) (objstore.Version, error) {
			return s.inner.Upload(ctx, key, body, cond)
		},
		func() (func(ctx context.Context, cond objstore.Condition), error) {
			b, err := io.ReadAll(body)
			return func(ctx context.Context, cond objstore.Condition) { _, _ = s.inner.Put(ctx, key, b, cond) }, err
		})
}

// write sends a Put or an Upload. later makes an effect that outlives the call.
func (s *Store) write(ctx context.Context, r Request, cond objstore.Condition,
	send func(context.Context, objstore.Condition) (objstore.Version, error),
	later func() (func(context.Context, objstore.Condition), error),
) (objstore.Version, error) {
	c, err := s.begin(ctx, r)
	if err != nil {
		return "", err
	}
	if cond, err = s.condition(cond, c.unsafely); err != nil {
		return "", fmt.Errorf("%s %s: %w", r.Method, r.Key, err)
	}
	if c.rule != nil && c.rule.Kind == ErrorThenEffect {
		effect, err := later()
		if err != nil {
			return "", err
		}
		c.lates(func(ctx context.Context) { effect(ctx, cond) })
		return "", c.rule.err()
	}
	if c.twice && r.Method == "put" {
		_, _ = send(ctx, cond)
	}
	v, err := send(ctx, cond)
	if err := c.after(ctx, err); err != nil {
		return "", err
	}
	return v, nil
}

// condition is cond as a store of these properties takes it.
func (s *Store) condition(cond objstore.Condition, unsafely bool) (objstore.Condition, error) {
	p := s.Properties()
	_, update := cond.OldVersion()
	if (cond.IsAbsent() && !p.IfAbsent) || (update && !p.IfVersion) {
		return cond, objstore.ErrNotSupported
	}
	id := cond.PutID()
	if unsafely {
		cond = objstore.Always.WithPutID(id)
	}
	if !p.PutID {
		cond = cond.WithPutID("")
	}
	return cond, nil
}

func (s *Store) Head(ctx context.Context, key string) (objstore.Attributes, error) {
	c, err := s.begin(ctx, Request{Method: "head", Key: key})
	if err != nil {
		return objstore.Attributes{}, err
	}
	if c.lates(func(context.Context) {}) {
		return objstore.Attributes{}, c.rule.err()
	}
	a, err := s.inner.Head(ctx, key)
	if err := c.after(ctx, err); err != nil {
		return objstore.Attributes{}, err
	}
	return a, nil
}

func (s *Store) Delete(ctx context.Context, key string) error {
	c, err := s.begin(ctx, Request{Method: "delete", Key: key})
	if err != nil {
		return err
	}
	if c.lates(func(ctx context.Context) { _ = s.inner.Delete(ctx, key) }) {
		return c.rule.err()
	}
	if c.twice {
		_ = s.inner.Delete(ctx, key)
	}
	return c.after(ctx, s.inner.Delete(ctx, key))
}

// List is one request. ErrorAfter and a crash after the effect let half of it through: the
// listing breaks behind its first object.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Attributes, error] {
	return func(yield func(objstore.Attributes, error) bool) {
		c, err := s.begin(ctx, Request{Method: "list", Key: prefix})
		if err == nil && c.lates(func(context.Context) {}) {
			err = c.rule.err()
		}
		if err != nil {
			yield(objstore.Attributes{}, err)
			return
		}
		broken := c.crash
		hides := func(objstore.Attributes) bool { return false }
		if u := c.rule; u != nil {
			broken = broken || u.Kind == ErrorAfter || u.Kind == HangAfter || u.Kind == BlockAfter
			if u.Kind == Hide {
				if hides = u.Hides; hides == nil {
					hides = func(objstore.Attributes) bool { return true }
				}
			}
		}
		for a, err := range s.inner.List(ctx, prefix, after) {
			if s.dead.Load() {
				err = ErrCrashed
			}
			if err == nil && hides(a) {
				continue
			}
			if err != nil {
				yield(objstore.Attributes{}, err)
				return
			}
			if !yield(a, nil) {
				return
			}
			if broken {
				broken = false
				if err := c.after(ctx, nil); err != nil {
					yield(objstore.Attributes{}, err)
					return
				}
			}
		}
		if broken {
			if err := c.after(ctx, nil); err != nil {
				yield(objstore.Attributes{}, err)
			}
		}
	}
}

// Properties are those of the store below, as SetProperties changed them.
func (s *Store) Properties() objstore.Properties {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.props
}
