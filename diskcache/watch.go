package diskcache

import "sync"

// A Trouble is the beginning or the end of a time in which the local disk fails.
type Trouble struct {
	Dir string // of the cache or mirror
	// Failing: nothing is written to the disk for a while, see Op and Err. Else it works again.
	Failing bool
	Op      string // what failed: "open", "create", "write", "erase", "read"
	Err     error
}

// watchers are told when a disk begins to fail and when it works again. The zero value is
// ready. Its lock is taken last of all.
type watchers struct {
	mu   sync.Mutex
	last Trouble
	next int
	list map[int]func(Trouble)
}

func (w *watchers) failed(dir, op string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.last.Failing {
		w.tellLocked(Trouble{dir, true, op, err})
	}
}

func (w *watchers) works(dir string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last.Failing {
		w.tellLocked(Trouble{Dir: dir})
	}
}

func (w *watchers) tellLocked(t Trouble) {
	w.last = t
	for _, f := range w.list {
		f(t)
	}
}

// watch calls f at each change, in order, and at once when the disk fails now, until stop is
// called. Locks are held around f: it must neither block nor use the cache.
func (w *watchers) watch(f func(Trouble)) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.list == nil {
		w.list = make(map[int]func(Trouble))
	}
	id := w.next
	w.next++
	w.list[id] = f
	if w.last.Failing {
		f(w.last)
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.list, id)
	}
}

// Watch calls f when the disk begins to fail, when it works again, and at once when it fails
// now, until stop is called. f must neither block nor use the cache.
func (c *Cache) Watch(f func(Trouble)) (stop func()) { return c.watchers.watch(f) }

// Watch is Cache.Watch.
func (m *Mirror) Watch(f func(Trouble)) (stop func()) { return m.watchers.watch(f) }
