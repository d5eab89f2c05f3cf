package retry

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/slatedb/slatedb-go/internal/seam"
)

// State is what a store looks like from its answers.
type State string

// The states.
const (
	// OK: the last request was answered.
	OK State = "ok"
	// Degraded: some requests in a row had no answer, or one that asks to come back later.
	Degraded State = "degraded"
	// Down: nothing was answered for a while. Requests wait, and one at a time tries.
	Down State = "down"
)

// Health is shared by the stores of one handle. While it is Down, requests that retry
// without limit wait for it, first come first served, each until its ctx ends: one attempt a
// second finds out whether the store is back, and the first answer lets everybody go. So an
// outage costs a request a second however much work has piled up, and is over for everybody
// within about a second of its end. Requests with a limit of retries do not wait, since
// their callers want to be told.
//
// It is safe for concurrent use.
type Health struct {
	env      *seam.Env
	onChange func(Snapshot)

	mu struct {
		sync.Mutex
		Snapshot
		firstFailure time.Time // of the row
		nextTry      time.Time // while down
		queue        []chan struct{}
	}
}

// A Snapshot is a Health at one moment.
type Snapshot struct {
	State State
	// Since is when State began.
	Since time.Time
	// ConsecutiveFailures are the attempts in a row that had no answer.
	ConsecutiveFailures int
	// LastErr is the last of them; it is kept when the store is back, and tells what was.
	LastErr error
}

// When a row of failures makes a store degraded and down, and how often a store that is down
// is tried. Three, because one lost answer is daily business; ten seconds, because a burst
// of parallel requests may fail at once for one lost connection.
const (
	degradedAfter = 3
	downAfter     = 10 * time.Second
	tryEvery      = time.Second
)

// NewHealth returns one that is OK. onChange, when set, is told of each change of State,
// from the goroutine of a request and with no lock held; a panic in it is dropped.
func NewHealth(env *seam.Env, onChange func(Snapshot)) *Health {
	if env == nil {
		env = seam.New(seam.Env{})
	}
	h := &Health{env: env, onChange: onChange}
	h.mu.State, h.mu.Since = OK, env.Clock.Now()
	return h
}

// Snapshot returns what is known now.
func (h *Health) Snapshot() Snapshot {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.Snapshot
}

// admit waits while the store is down. It returns the ctx error when that ends first.
func (h *Health) admit(ctx context.Context) error {
	h.mu.Lock()
	if h.mu.State != Down {
		h.mu.Unlock()
		return nil
	}
	turn := make(chan struct{}, 1)
	h.mu.queue = append(h.mu.queue, turn)
	for {
		// Locked here.
		wait := h.mu.nextTry.Sub(h.env.Clock.Now())
		first := len(h.mu.queue) > 0 && h.mu.queue[0] == turn
		if h.mu.State != Down || first && wait <= 0 {
			if h.mu.State == Down {
				h.mu.nextTry = h.env.Clock.Now().Add(tryEvery)
			}
			h.leaveLocked(turn)
			h.mu.Unlock()
			return nil
		}
		last := h.mu.LastErr
		h.mu.Unlock()
		var due <-chan time.Time
		stop := func() bool { return true }
		if first { // the others are woken when they become the first
			t := h.env.Clock.NewTimer(wait)
			due, stop = t.C(), t.Stop
		}
		select {
		case <-turn:
		case <-due:
		case <-ctx.Done():
			stop()
			h.mu.Lock()
			h.leaveLocked(turn)
			h.mu.Unlock()
			return fmt.Errorf("%w while the store is down (last error: %w)", ctx.Err(), last)
		}
		stop()
		h.mu.Lock()
	}
}

// leaveLocked gives up a place and tells who is the first then.
func (h *Health) leaveLocked(turn chan struct{}) {
	for i, c := range h.mu.queue {
		if c == turn {
			h.mu.queue = append(h.mu.queue[:i], h.mu.queue[i+1:]...)
			if i == 0 && len(h.mu.queue) > 0 {
				wake(h.mu.queue[0])
			}
			return
		}
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// answered notes that the store answered, whatever it said.
func (h *Health) answered() {
	h.mu.Lock()
	h.mu.ConsecutiveFailures = 0
	changed := h.mu.State != OK
	if changed {
		h.mu.State, h.mu.Since = OK, h.env.Clock.Now()
		for _, c := range h.mu.queue {
			wake(c)
		}
	}
	s := h.mu.Snapshot
	h.mu.Unlock()
	h.tell(changed, s)
}

// failed notes an attempt without an answer.
func (h *Health) failed(err error) {
	now := h.env.Clock.Now()
	h.mu.Lock()
	if h.mu.ConsecutiveFailures == 0 {
		h.mu.firstFailure = now
	}
	h.mu.ConsecutiveFailures++
	h.mu.LastErr = err
	next := h.mu.State
	switch {
	case h.mu.ConsecutiveFailures < degradedAfter:
	case now.Sub(h.mu.firstFailure) >= downAfter:
		next = Down
	case next == OK:
		next = Degraded
	}
	changed := next != h.mu.State
	if changed {
		h.mu.State, h.mu.Since = next, now
		if next == Down {
			h.mu.nextTry = now.Add(tryEvery)
		}
	}
	s := h.mu.Snapshot
	h.mu.Unlock()
	h.tell(changed, s)
}

// note judges the outcome of an attempt that began at start, under the caller's ctx.
func (h *Health) note(ctx context.Context, start time.Time, err error) {
	switch {
	case err == nil:
		h.answered()
	case ctx.Err() != nil:
		// The caller has left. That tells of the store only when it had the time to answer.
		if h.env.Clock.Now().Sub(start) >= tryEvery {
			h.failed(err)
		}
	case final(err):
		h.answered()
	default:
		h.failed(err)
	}
}

func (h *Health) tell(changed bool, s Snapshot) {
	if changed && h.onChange != nil {
		_ = seam.Guard("OnChange", func() error { h.onChange(s); return nil })
	}
}
