package objstore

import (
	"context"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/slatedb/slatedb-go/internal/seam"
)

// NewMemory returns an empty store in memory. It is as strict as a cloud: conditions are
// atomic, every write makes a new version (equal bytes too), and a body is copied in once
// and never changed, so Get hands out the stored bytes themselves.
func NewMemory() Store { return NewMemoryWithClock(seam.SystemClock{}) }

// NewMemoryWithClock is NewMemory with the clock that stamps objects.
func NewMemoryWithClock(c seam.Clock) Store {
	return &memory{clock: c, objects: make(map[string]*memObject)}
}

type memory struct {
	clock seam.Clock

	// An RWMutex and not shards: the lock covers one map access, never a copy of a body.
	mu      sync.RWMutex
	objects map[string]*memObject
	sorted  []*memObject // the same objects by key; an overwrite replaces in place
	writes  uint64       // the last version given out
}

// memObject is immutable, so it outlives its place in the map for those who hold it.
type memObject struct {
	key      string
	body     []byte
	modified time.Time
	version  Version
	putID    string
}

func (o *memObject) attributes() Attributes {
	return Attributes{Key: o.key, Size: int64(len(o.body)), Modified: o.modified, Version: o.version, PutID: o.putID}
}

func (m *memory) find(ctx context.Context, op, key string) (*memObject, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	seam.Disturb()
	m.mu.RLock()
	o := m.objects[key]
	m.mu.RUnlock()
	if o != nil {
		return o, nil
	}
	if err := ValidKey(key); err != nil {
		return nil, err
	}
	return nil, fail(op, key, ErrNotFound)
}

func (m *memory) Get(ctx context.Context, key string) (Object, error) {
	o, err := m.find(ctx, "get", key)
	if err != nil {
		return Object{}, err
	}
	return Object{Attributes: o.attributes(), Body: o.body}, nil
}

func (m *memory) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	o, err := m.find(ctx, "read", key)
	if err != nil {
		return 0, err
	}
	if off < 0 || off > int64(len(o.body)) {
		return 0, fail("read", key, ErrRange)
	}
	n := copy(p, o.body[off:])
	if n < len(p) {
		return n, fail("read", key, ErrRange)
	}
	return n, nil
}

func (m *memory) Head(ctx context.Context, key string) (Attributes, error) {
	o, err := m.find(ctx, "head", key)
	if err != nil {
		return Attributes{}, err
	}
	return o.attributes(), nil
}

func (m *memory) Put(ctx context.Context, key string, body []byte, c Condition) (Version, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := ValidKey(key); err != nil {
		return "", err
	}
	b := make([]byte, len(body))
	copy(b, body)
	return m.store(key, b, c)
}

func (m *memory) Upload(ctx context.Context, key string, body io.Reader, c Condition) (Version, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := ValidKey(key); err != nil {
		return "", err
	}
	b, err := io.ReadAll(ctxReader{ctx, body})
	if err != nil {
		return "", fail("upload", key, err)
	}
	return m.store(key, slices.Clip(b), c)
}

// store takes over body.
func (m *memory) store(key string, body []byte, c Condition) (Version, error) {
	o := &memObject{key: strings.Clone(key), body: body, modified: m.clock.Now(), putID: c.putID}
	seam.Disturb()
	m.mu.Lock()
	old := m.objects[key]
	if !c.holds(old != nil, func() Version { return old.version }) {
		m.mu.Unlock()
		return "", fail("put", key, ErrPrecondition)
	}
	m.writes++
	o.version = Version(strconv.FormatUint(m.writes, 10))
	m.objects[o.key] = o
	i, found := m.searchLocked(key)
	if found {
		m.sorted[i] = o
	} else {
		m.sorted = slices.Insert(m.sorted, i, o)
	}
	m.mu.Unlock()
	return o.version, nil
}

func (m *memory) Delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := ValidKey(key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if i, found := m.searchLocked(key); found {
		delete(m.objects, key)
		m.sorted = slices.Delete(m.sorted, i, i+1)
	}
	return nil
}

// List walks the keys as they were when it began.
func (m *memory) List(ctx context.Context, prefix, after string) iter.Seq2[Attributes, error] {
	return func(yield func(Attributes, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(Attributes{}, err)
			return
		}
		for _, o := range m.snapshot(prefix, after) {
			if err := ctx.Err(); err != nil {
				yield(Attributes{}, err)
				return
			}
			a := o.attributes()
			a.PutID = "" // no cloud's listing tells it, and tests should not learn to rely on it
			if !yield(a, nil) {
				return
			}
		}
	}
}

func (m *memory) snapshot(prefix, after string) []*memObject {
	m.mu.RLock()
	defer m.mu.RUnlock()
	i, _ := m.searchLocked(prefix)
	if after >= prefix {
		j, found := m.searchLocked(after)
		if found {
			j++
		}
		i = max(i, j)
	}
	rest := m.sorted[i:]
	n, _ := slices.BinarySearchFunc(rest, prefix, func(o *memObject, p string) int {
		if strings.HasPrefix(o.key, p) {
			return -1
		}
		return 1
	})
	return slices.Clone(rest[:n])
}

func (m *memory) searchLocked(key string) (int, bool) {
	return slices.BinarySearchFunc(m.sorted, key, func(o *memObject, k string) int { return strings.Compare(o.key, k) })
}

func (m *memory) Properties() Properties {
	return Properties{Name: "memory", IfAbsent: true, IfVersion: true, PutID: true, Local: true}
}

// holds reports whether c allows a write over an object that exists or not. version is
// asked for only when c is about it.
func (c Condition) holds(exists bool, version func() Version) bool {
	switch c.kind {
	case ifAbsent:
		return !exists
	case ifVersion:
		return exists && version() == c.version
	}
	return true
}

// ctxReader ends a stream with its context.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r ctxReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
