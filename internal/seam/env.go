package seam

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/oklog/ulid/v2"
)

// A Clock tells time and waits. Implementations are safe for concurrent use and must not
// call back into the engine.
type Clock interface {
	Now() time.Time
	// NewTimer returns a timer that fires once after d; a d <= 0 fires at once.
	NewTimer(d time.Duration) Timer
}

// A Timer is a time.Timer behind an interface.
type Timer interface {
	C() <-chan time.Time
	Stop() bool
	Reset(d time.Duration)
}

// Env is the set of seams one handle runs on. The zero value is not usable; New fills it.
// It is shared by value of its pointer and never changed after New.
type Env struct {
	Clock Clock
	// Spawn starts fn on a goroutine of its own. name is stable across runs.
	Spawn func(name string, fn func())
	// Rand is a source of random bytes, safe for concurrent use.
	Rand io.Reader
	// OnPoint, when set, is called at each named step of a protocol. A test parks, kills or
	// cancels there. It is nil in programs; the cost is one comparison per step, none per row.
	OnPoint func(name string)
}

// New returns the seams of a program: the wall clock, plain goroutines, the system's
// randomness. Fields set in e are kept.
func New(e Env) *Env {
	if e.Clock == nil {
		e.Clock = SystemClock{}
	}
	if e.Spawn == nil {
		e.Spawn = func(_ string, fn func()) {
			go func() {
				Disturb()
				fn()
			}()
		}
	}
	if e.Rand == nil {
		e.Rand = rand.Reader
	}
	return &e
}

// Point marks a protocol step.
func (e *Env) Point(name string) {
	Disturb()
	if e.OnPoint != nil {
		e.OnPoint(name)
	}
}

// Uint64 returns a random number.
func (e *Env) Uint64() uint64 {
	var b [8]byte
	if _, err := io.ReadFull(e.Rand, b[:]); err != nil {
		return uint64(e.Clock.Now().UnixNano())
	}
	return binary.LittleEndian.Uint64(b[:])
}

// Float64 returns a random number in [0, 1).
func (e *Env) Float64() float64 { return float64(e.Uint64()>>11) / (1 << 53) }

// UUID returns a random version 4 UUID.
func (e *Env) UUID() uuid.UUID {
	var u uuid.UUID
	binary.LittleEndian.PutUint64(u[:8], e.Uint64())
	binary.LittleEndian.PutUint64(u[8:], e.Uint64())
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

// ULID returns an id with the given time (Unix milliseconds) and random rest.
func (e *Env) ULID(ms uint64) ulid.ULID {
	var u ulid.ULID
	binary.LittleEndian.PutUint64(u[:8], e.Uint64())
	binary.LittleEndian.PutUint64(u[8:], e.Uint64())
	_ = u.SetTime(min(ms, ulid.MaxTime()))
	return u
}

// Sleep waits for d or until ctx ends, and then returns its error.
func (e *Env) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := e.Clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C():
		Disturb()
		return nil
	}
}

// SystemClock is the wall clock (inside a testing/synctest bubble: the bubble's clock).
type SystemClock struct{}

// Now returns time.Now.
func (SystemClock) Now() time.Time { return time.Now() }

// NewTimer returns a time.Timer.
func (SystemClock) NewTimer(d time.Duration) Timer { return sysTimer{time.NewTimer(d)} }

type sysTimer struct{ t *time.Timer }

func (t sysTimer) C() <-chan time.Time   { return t.t.C }
func (t sysTimer) Stop() bool            { return t.t.Stop() }
func (t sysTimer) Reset(d time.Duration) { t.t.Reset(d) }

// A Group runs functions on goroutines started through Spawn and waits for them, in the
// shape of errgroup: the first error cancels the context and is what Wait returns.
type Group struct {
	env    *Env
	cancel context.CancelFunc
	wg     sync.WaitGroup
	once   sync.Once
	err    error
}

// Group returns a group whose functions should watch the returned context.
func (e *Env) Group(ctx context.Context) (*Group, context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	return &Group{env: e, cancel: cancel}, ctx
}

// Go starts fn under a name. A panic in fn becomes the group's error.
func (g *Group) Go(name string, fn func() error) {
	g.wg.Add(1)
	g.env.Spawn(name, func() {
		defer g.wg.Done()
		if err := Guard(name, fn); err != nil {
			g.once.Do(func() { g.err = err; g.cancel() })
		}
	})
}

// Wait returns when every function has returned.
func (g *Group) Wait() error {
	g.wg.Wait()
	g.cancel()
	return g.err
}
