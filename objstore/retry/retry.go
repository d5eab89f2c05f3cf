package retry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
)

// Options of New. The zero value retries without limit.
type Options struct {
	// Env has the clock that waits are on and the randomness of jitter and put-ids. nil: the
	// system's.
	Env *seam.Env
	// Min and Max bound the wait before an attempt, which doubles from Min to Max. The wait
	// is drawn from its upper half, so that a crowd spreads. Defaults: 100ms and 1s.
	Min, Max time.Duration
	// MaxRetries is how often a request is sent again before its error is returned (as
	// kv.ErrUnavailable). 0: without limit, until ctx ends. Negative: never.
	MaxRetries int
	// AttemptTimeout ends an attempt that hangs; the next follows. It does not apply to List,
	// whose length is the caller's. 0 or negative: none.
	AttemptTimeout time.Duration
	// OnRetry is told of every failure that is followed by another attempt, before the wait.
	// It is called from any number of goroutines.
	OnRetry func(Failure)
	// Health, when set, is told how the attempts end, and holds requests back while the store
	// is down. nil: none.
	Health *Health
}

// A Failure is one failed attempt.
type Failure struct {
	Method, Key string
	Attempt     int // from 1
	Err         error
	Wait        time.Duration // before the next attempt
}

// maxRetryAfter bounds what a server may ask for: a wrong header must not stop a database.
const maxRetryAfter = time.Minute

// New returns inner with retries. What is permanent (objstore.IsPermanent) is returned at
// once, but for the end of an attempt's own deadline. An error with a method
// RetryAfter() time.Duration sets the least wait. A body that is not as long as promised is
// an error and is fetched again.
//
// An Upload is sent again only when its body is an io.Seeker; else its first failure is
// final.
func New(inner objstore.Store, o Options) objstore.Store {
	if o.Env == nil {
		o.Env = seam.New(seam.Env{})
	}
	if o.Min <= 0 {
		o.Min = 100 * time.Millisecond
	}
	if o.Max <= 0 {
		o.Max = time.Second
	}
	o.Max = max(o.Min, o.Max)
	return &store{Store: inner, o: o}
}

type store struct {
	objstore.Store
	o Options
}

// A request is one call of the user and all its attempts.
type request struct {
	s           *store
	ctx         context.Context
	method, key string
	failed      int // attempts in a row
}

func (s *store) request(ctx context.Context, method, key string) *request {
	return &request{s: s, ctx: ctx, method: method, key: key}
}

// attempt calls fn under the attempt's deadline.
func (r *request) attempt(fn func(ctx context.Context) error) error {
	start, err := r.admit()
	if err != nil {
		return err
	}
	ctx := r.ctx
	if d := r.s.o.AttemptTimeout; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	err = fn(ctx)
	r.note(start, err)
	return err
}

// admit waits while the store is down, unless the caller wants to be told of failures.
func (r *request) admit() (start time.Time, err error) {
	h := r.s.o.Health
	if h == nil {
		return start, nil
	}
	if r.s.o.MaxRetries == 0 {
		if err := h.admit(r.ctx); err != nil {
			return start, objstore.NoEffect(fmt.Errorf("%s %s: %w", r.method, r.key, err))
		}
	}
	return h.env.Clock.Now(), nil
}

func (r *request) note(start time.Time, err error) {
	if h := r.s.o.Health; h != nil {
		h.note(r.ctx, start, err)
	}
}

// do attempts fn until it succeeds or its error is final.
func (r *request) do(fn func(ctx context.Context) error) error {
	for {
		err := r.attempt(fn)
		if err == nil {
			return nil
		}
		if err := r.again(err); err != nil {
			return err
		}
	}
}

// again waits before the next attempt and returns nil, or it returns the final error.
func (r *request) again(err error) error {
	if cerr := r.ctx.Err(); cerr != nil {
		return r.ended(cerr, err)
	}
	if final(err) {
		return err
	}
	r.failed++
	o := &r.s.o
	if o.MaxRetries < 0 || (o.MaxRetries > 0 && r.failed > o.MaxRetries) {
		return fmt.Errorf("%s %s: %w after %d attempts: %w", r.method, r.key, kv.ErrUnavailable, r.failed, err)
	}
	wait := r.backoff(err)
	if o.OnRetry != nil {
		f := Failure{Method: r.method, Key: r.key, Attempt: r.failed, Err: err, Wait: wait}
		// What an observer does wrong is not the request's trouble.
		_ = seam.Guard("OnRetry", func() error { o.OnRetry(f); return nil })
	}
	if cerr := o.Env.Sleep(r.ctx, wait); cerr != nil {
		return r.ended(cerr, err)
	}
	return nil
}

// ended is the ctx error, with what was wrong before.
func (r *request) ended(ctxErr, last error) error {
	if errors.Is(last, ctxErr) {
		return last
	}
	return fmt.Errorf("%s %s: %w (last error: %w)", r.method, r.key, ctxErr, last)
}

// final reports whether another attempt cannot help. The caller's own ctx is known to be
// alive, so a deadline is that of an attempt or of the transport.
func final(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return false
	}
	return objstore.IsPermanent(err)
}

func (r *request) backoff(err error) time.Duration {
	o := &r.s.o
	wait := o.Min
	for range r.failed - 1 {
		if wait = 2 * wait; wait >= o.Max {
			wait = o.Max
			break
		}
	}
	wait = wait/2 + time.Duration(o.Env.Float64()*float64(wait/2))
	var after interface{ RetryAfter() time.Duration }
	if errors.As(err, &after) {
		wait = max(wait, min(after.RetryAfter(), maxRetryAfter))
	}
	return wait
}

func (s *store) Get(ctx context.Context, key string) (o objstore.Object, err error) {
	err = s.request(ctx, "get", key).do(func(ctx context.Context) (err error) {
		o, err = s.Store.Get(ctx, key)
		if err == nil && int64(len(o.Body)) != o.Size {
			err = fmt.Errorf("get %s: body of %d bytes, %d promised: %w", key, len(o.Body), o.Size, io.ErrUnexpectedEOF)
		}
		return err
	})
	if err != nil {
		return objstore.Object{}, err
	}
	return o, nil
}

func (s *store) ReadAt(ctx context.Context, key string, p []byte, off int64) (n int, err error) {
	err = s.request(ctx, "read", key).do(func(ctx context.Context) (err error) {
		n, err = s.Store.ReadAt(ctx, key, p, off)
		if err == nil && n != len(p) {
			err = fmt.Errorf("read %s at %d: %d bytes, want %d: %w", key, off, n, len(p), io.ErrUnexpectedEOF)
		}
		return err
	})
	return n, err
}

func (s *store) Head(ctx context.Context, key string) (a objstore.Attributes, err error) {
	err = s.request(ctx, "head", key).do(func(ctx context.Context) (err error) {
		a, err = s.Store.Head(ctx, key)
		return err
	})
	return a, err
}

func (s *store) Delete(ctx context.Context, key string) error {
	return s.request(ctx, "delete", key).do(func(ctx context.Context) error { return s.Store.Delete(ctx, key) })
}

func (s *store) Put(ctx context.Context, key string, body []byte, c objstore.Condition) (objstore.Version, error) {
	return s.request(ctx, "put", key).write(c, func(ctx context.Context, c objstore.Condition) (objstore.Version, error) {
		return s.Store.Put(ctx, key, body, c)
	})
}

func (s *store) Upload(ctx context.Context, key string, body io.Reader, c objstore.Condition) (objstore.Version, error) {
	src := newSource(body)
	return s.request(ctx, "upload", key).write(c, func(ctx context.Context, c objstore.Condition) (objstore.Version, error) {
		if err := src.rewind(); err != nil {
			return "", err
		}
		v, err := s.Store.Upload(ctx, key, src, c)
		switch {
		case err == nil:
		case src.err != nil:
			// The stream broke, not the store. Nothing is stored of it.
			return "", objstore.Permanent(objstore.NoEffect(err))
		case src.seek == nil && c.IsAlways():
			return "", objstore.Permanent(err)
		case src.seek == nil:
			src.lost = err // a conditional one is settled before it is given up
		}
		return v, err
	})
}

// List goes on behind the last key when the listing breaks.
func (s *store) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Attributes, error] {
	return func(yield func(objstore.Attributes, error) bool) {
		r := s.request(ctx, "list", prefix)
		after := after
		for {
			start, failure := r.admit()
			if failure == nil {
				for a, err := range s.Store.List(ctx, prefix, after) {
					if err != nil {
						failure = err
						break
					}
					after, r.failed = a.Key, 0
					if !yield(a, nil) {
						r.note(start, nil)
						return
					}
				}
				r.note(start, failure)
			}
			if failure == nil {
				return
			}
			if err := r.again(failure); err != nil {
				yield(objstore.Attributes{}, err)
				return
			}
		}
	}
}

// source is the body of an upload that knows whether it can be read again, and whether it
// was the one that failed.
type source struct {
	r     io.Reader
	seek  io.Seeker // nil: read once
	start int64
	used  bool
	err   error // of the stream, in this attempt
	lost  error // of the one attempt there is without seek
}

func newSource(r io.Reader) *source {
	s := &source{r: r}
	if seek, ok := r.(io.Seeker); ok {
		if at, err := seek.Seek(0, io.SeekCurrent); err == nil { // a pipe is a Seeker that cannot
			s.seek, s.start = seek, at
		}
	}
	return s
}

func (s *source) rewind() error {
	s.err = nil
	if !s.used {
		s.used = true
		return nil
	}
	if s.seek == nil {
		return objstore.Permanent(objstore.NoEffect(fmt.Errorf("the body of the upload can be read only once: %w", s.lost)))
	}
	if _, err := s.seek.Seek(s.start, io.SeekStart); err != nil {
		return objstore.Permanent(objstore.NoEffect(fmt.Errorf("rewind the body: %w", err)))
	}
	return nil
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}
