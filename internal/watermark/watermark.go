// Package watermark holds a sequence number that only rises, with waiters by context.
package watermark

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// A Mark only rises, until it fails. All methods are safe for concurrent use; Load takes no
// lock. The zero value stands at 0.
type Mark struct {
	at atomic.Uint64
	mu struct {
		sync.Mutex
		waiters []waiter // unordered: few, and all released by most advances
		err     error
	}
}

type waiter struct {
	seq kv.Seq
	ch  chan struct{}
}

// Load returns the current value.
func (m *Mark) Load() kv.Seq { return kv.Seq(m.at.Load()) }

// Advance raises the mark to seq, wakes those who waited for it and returns how many they
// were. A lower seq changes nothing.
func (m *Mark) Advance(seq kv.Seq) (released int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if uint64(seq) <= m.at.Load() {
		return 0
	}
	m.at.Store(uint64(seq))
	keep := m.mu.waiters[:0]
	for _, w := range m.mu.waiters {
		if w.seq <= seq {
			close(w.ch)
			released++
		} else {
			keep = append(keep, w)
		}
	}
	clear(m.mu.waiters[len(keep):])
	m.mu.waiters = keep
	return released
}

// Fail makes every present and future Wait for a value that was not reached return err.
// The first failure stays.
func (m *Mark) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.err != nil {
		return
	}
	m.mu.err = err
	for _, w := range m.mu.waiters {
		close(w.ch)
	}
	m.mu.waiters = nil
}

// Wait returns nil once the mark has reached seq, the error of Fail, or ctx's error.
func (m *Mark) Wait(ctx context.Context, seq kv.Seq) error {
	if m.Load() >= seq {
		return nil
	}
	m.mu.Lock()
	if m.Load() >= seq {
		m.mu.Unlock()
		return nil
	}
	if err := m.mu.err; err != nil {
		m.mu.Unlock()
		return err
	}
	ch := make(chan struct{})
	m.mu.waiters = append(m.mu.waiters, waiter{seq, ch})
	m.mu.Unlock()
	select {
	case <-ch:
	case <-ctx.Done():
		m.drop(ch)
		if m.Load() >= seq {
			return nil
		}
		return ctx.Err()
	}
	if m.Load() >= seq {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.err
}

// Waiting returns how many callers wait now.
func (m *Mark) Waiting() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mu.waiters)
}

func (m *Mark) drop(ch chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, w := range m.mu.waiters {
		if w.ch == ch {
			last := len(m.mu.waiters) - 1
			m.mu.waiters[i] = m.mu.waiters[last]
			m.mu.waiters[last] = waiter{}
			m.mu.waiters = m.mu.waiters[:last]
			return
		}
	}
}
