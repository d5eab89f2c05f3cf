package diskcache

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
)

// A Mirror keeps whole copies of the tables of one database:
//
//	Ensure(tables of a new manifest) ─▶ download what is missing ─▶ the manifest is taken over ─▶ Retain
//	Put of a table ─▶ store ─▶ file
//
// Each copy is a file of its own: written under a temporary name, synced, renamed. So a file
// that has its name is whole, and a restart looks only at the last bytes of each. When the
// disk fails, what is missing is read from the store, and counted.
type Mirror struct {
	conf  Config
	dir   string
	scope string
	life  context.Context
	lock  io.Closer
	one   chan struct{} // one Ensure at a time
	wg    sync.WaitGroup

	mu struct {
		sync.Mutex
		closed  bool
		files   map[objectID]*copied
		open    int
		bytes   int64
		want    []Table // of the newest manifest
		from    objstore.Store
		again   bool // want is to be looked through in the background
		running bool
		health  health
	}
	temp  atomic.Uint64
	stats struct {
		evicted, evictedLen, dropped, corrupt, readErrors, writeErrors atomic.Int64
	}
	warned atomic.Bool

	watchers watchers
}

// copied is one table on disk.
type copied struct {
	size  int64 // without the trailer
	f     seam.File
	users int
	young time.Time // written by this process and in no manifest yet: kept for a while; zero: not
}

// The end of a mirror file, little endian: magic, object, size and checksum of what stands
// before it, checksum of the trailer.
const trailerLen = 16 + 16 + 8 + 4 + 4

var mirrorMagic = [16]byte{'s', 'l', 'a', 't', 'e', 'd', 'b', ' ', 'm', 'i', 'r', 'r', 'o', 'r', 1, '\n'}

func trailer(o objectID, size int64, sum uint32) []byte {
	b := append(make([]byte, 0, trailerLen), mirrorMagic[:]...)
	b = append(b, o[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(size))
	b = binary.LittleEndian.AppendUint32(b, sum)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// judgeTrailer says of the last bytes of a file of the given size whether it is the whole
// copy of o.
func judgeTrailer(b []byte, o objectID, size int64) headVerdict {
	switch {
	case len(b) != trailerLen || !bytes.Equal(b[:16], mirrorMagic[:]):
		return foreign
	case crc32.Checksum(b[:trailerLen-4], castagnoli) != binary.LittleEndian.Uint32(b[trailerLen-4:]),
		!bytes.Equal(b[16:32], o[:]), binary.LittleEndian.Uint64(b[32:]) != uint64(size-trailerLen):
		return stale
	}
	return ours
}

const (
	tableSuffix = ".table"
	tempSuffix  = ".tmp"

	// downloads is how many tables are copied at once, downloadStep how much at a time: 64 MiB
	// of memory at most.
	downloads    = 8
	downloadStep = 8 << 20
	// youngLife is how long a table that this process has written waits for a manifest that
	// names it. A job that was given up leaves its tables for so long.
	youngLife = time.Hour
)

// OpenMirror opens the mirror of the database under root. Each database has a directory of
// its own below Dir, which one handle of one process uses at a time: kv.ErrInvalid for a
// second one. life ends what runs in the background.
func OpenMirror(life context.Context, conf Config, scope, root string) (*Mirror, error) {
	if err := conf.fill(); err != nil {
		return nil, err
	}
	id := identify(scope, root)
	m := &Mirror{conf: conf, scope: scope, life: life, one: make(chan struct{}, 1)}
	m.dir = filepath.Join(conf.Dir, "slatedb-mirror-"+hex.EncodeToString(id[:8]))
	m.mu.files = make(map[objectID]*copied)
	if err := conf.FS.MkdirAll(m.dir); err != nil {
		return nil, fmt.Errorf("%w: mirror directory: %w", kv.ErrUnavailable, err)
	}
	lock, err := conf.FS.Lock(filepath.Join(m.dir, lockName))
	if errors.Is(err, seam.ErrLocked) {
		return nil, fmt.Errorf("%w: DiskCache.Dir %s already holds the mirror of this database for another handle; give each its own directory: %w", kv.ErrInvalid, conf.Dir, err)
	} else if err != nil {
		return nil, fmt.Errorf("%w: mirror directory: %w", kv.ErrUnavailable, err)
	}
	m.lock = lock
	if err := m.load(); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("%w: mirror directory: %w", kv.ErrUnavailable, err)
	}
	return m, nil
}

// load finds the copies that are whole. Temporary files of ours are removed.
func (m *Mirror) load() error {
	names, err := m.conf.FS.List(m.dir)
	if err != nil {
		return err
	}
	for _, fi := range names {
		stem, isTable := strings.CutSuffix(fi.Name, tableSuffix)
		if !isTable {
			if stem, ok := strings.CutSuffix(fi.Name, tempSuffix); ok && len(stem) == 48 && !fi.Dir {
				if _, err := hex.DecodeString(stem); err == nil {
					_ = m.conf.FS.Remove(filepath.Join(m.dir, fi.Name))
				}
			}
			continue
		}
		var o objectID
		if n, err := hex.Decode(o[:], []byte(stem[:min(len(stem), 32)])); err != nil || n != len(o) || len(stem) != 32 || fi.Dir || fi.Size < trailerLen {
			continue
		}
		name := filepath.Join(m.dir, fi.Name)
		switch v := m.look(name, o, fi.Size); v {
		case ours:
			m.mu.files[o] = &copied{size: fi.Size - trailerLen}
			m.mu.bytes += fi.Size - trailerLen
		case stale:
			_ = m.conf.FS.Remove(name)
		}
	}
	return nil
}

func (m *Mirror) look(name string, o objectID, size int64) headVerdict {
	f, err := m.conf.FS.Open(name, false)
	if err != nil {
		return foreign
	}
	defer f.Close()
	b := make([]byte, trailerLen)
	if n, err := f.ReadAt(b, size-trailerLen); n < trailerLen && err != nil {
		return foreign
	}
	return judgeTrailer(b, o, size)
}

// Close stops the background and closes the files. The copies stay.
func (m *Mirror) Close() {
	m.mu.Lock()
	closed := m.mu.closed
	m.mu.closed = true
	m.mu.Unlock()
	if closed {
		return
	}
	m.wg.Wait() // life has ended, or ends what it does soon
	m.mu.Lock()
	for _, c := range m.mu.files {
		m.closeLocked(c)
	}
	m.mu.files = map[objectID]*copied{}
	m.mu.Unlock()
	_ = m.lock.Close()
}

// Stats returns the figures; Parts are tables.
func (m *Mirror) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Stats{
		Parts: int64(len(m.mu.files)), Bytes: m.mu.bytes, Evicted: m.stats.evicted.Load(), EvictedLen: m.stats.evictedLen.Load(),
		Dropped: m.stats.dropped.Load(), Corrupt: m.stats.corrupt.Load(), ReadErrors: m.stats.readErrors.Load(), WriteErrors: m.stats.writeErrors.Load(),
	}
}

// missingOf lists the tables without a copy. It is a pure choice.
func missingOf(want []Table, have func(Table) bool) (out []Table) {
	seen := make(map[string]bool)
	for _, t := range want {
		if !seen[t.Key] && !have(t) {
			out = append(out, t)
		}
		seen[t.Key] = true
	}
	return out
}

func (m *Mirror) missing(want []Table) []Table {
	m.mu.Lock()
	defer m.mu.Unlock()
	return missingOf(want, func(t Table) bool {
		c := m.mu.files[identify(m.scope, t.Key)]
		return c != nil && c.size >= t.Size
	})
}

// Missing is how many tables of the newest manifest have no copy now: reads of them go to
// the store.
func (m *Mirror) Missing() int {
	m.mu.Lock()
	want := m.mu.want
	m.mu.Unlock()
	return len(m.missing(want))
}

// Ensure returns when every table has a copy. An error of the store or of ctx is returned; a
// failure of the disk is not: it is counted, what is missing is read from the store, and the
// next Ensure after a while tries again. Neither is a table that the store does not have.
func (m *Mirror) Ensure(ctx context.Context, from objstore.Store, tables []Table) error {
	if len(m.missing(tables)) == 0 {
		return nil
	}
	select {
	case m.one <- struct{}{}:
		defer func() { <-m.one }()
	case <-ctx.Done():
		return ctx.Err()
	}
	todo := m.missing(tables)
	if m.paused() {
		return nil // the disk is full or broken: nothing is fetched for it
	}
	var next atomic.Int64
	g, gctx := m.conf.Env.Group(ctx)
	for range min(downloads, len(todo)) {
		g.Go("mirror", func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(todo) {
					return nil
				}
				t := todo[i]
				err := m.store(identify(m.scope, t.Key), t.Size, false, func(p []byte, off int64) error {
					n, err := from.ReadAt(gctx, t.Key, p, off)
					if err == nil && n < len(p) {
						err = io.ErrUnexpectedEOF
					}
					return err
				})
				switch {
				case errors.Is(err, objstore.ErrNotFound), errors.Is(err, objstore.ErrRange):
					// Collected meanwhile, or damaged: the read that needs it will tell.
				case err != nil:
					return fmt.Errorf("mirror %s: %w", t.Key, err)
				case m.paused():
					return nil
				}
			}
		})
	}
	return g.Wait()
}

// Retain takes over what the newest manifest names: other copies are removed. from is where
// missing ones can be fetched later.
func (m *Mirror) Retain(from objstore.Store, tables []Table) {
	keep := make(map[objectID]bool, len(tables))
	for _, t := range tables {
		keep[identify(m.scope, t.Key)] = true
	}
	now := m.conf.Env.Clock.Now()
	var gone []objectID
	m.mu.Lock()
	m.mu.want, m.mu.from = tables, from
	for o, c := range m.mu.files {
		switch {
		case keep[o]:
			c.young = time.Time{}
		case c.young.IsZero() || now.Sub(c.young) > youngLife:
			gone = append(gone, o)
			m.forgetLocked(o, c)
			m.stats.evicted.Add(1)
			m.stats.evictedLen.Add(c.size)
		}
	}
	m.mu.Unlock()
	for _, o := range gone {
		if err := m.conf.FS.Remove(m.file(o)); err != nil {
			m.stats.writeErrors.Add(1)
		}
	}
}

// Kick fetches in the background what Retain was told and is not there.
func (m *Mirror) Kick() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.again = true
	if m.mu.running || m.mu.closed || m.mu.from == nil {
		return
	}
	m.mu.running = true
	m.wg.Add(1)
	m.conf.Env.Spawn("mirror", func() {
		defer m.wg.Done()
		for {
			m.mu.Lock()
			if !m.mu.again || m.mu.closed {
				m.mu.running = false
				m.mu.Unlock()
				return
			}
			m.mu.again = false
			want, from := m.mu.want, m.mu.from
			m.mu.Unlock()
			if err := m.Ensure(m.life, from, want); err != nil && m.life.Err() == nil {
				m.conf.Logger.Warn("slatedb: mirror", "dir", m.dir, "err", err)
			}
		}
	})
}

// paused reports whether the disk has failed a short while ago.
func (m *Mirror) paused() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.mu.health.until.IsZero() && !m.mu.health.mayWrite(m.conf.Env.Clock.Now())
}

func (m *Mirror) file(o objectID) string {
	return filepath.Join(m.dir, hex.EncodeToString(o[:])+tableSuffix)
}

// diskError marks what went wrong on this machine.
type diskError struct{ err error }

func (e *diskError) Error() string { return e.err.Error() }

// store writes a copy. read fills p from an offset; its error is returned, that of the disk
// is counted.
func (m *Mirror) store(o objectID, size int64, young bool, read func(p []byte, off int64) error) error {
	if m.paused() {
		m.stats.dropped.Add(1)
		return nil
	}
	err := m.write(o, size, read)
	var d *diskError
	switch {
	case errors.As(err, &d):
		m.stats.dropped.Add(1)
		m.stats.writeErrors.Add(1)
		m.mu.Lock()
		m.mu.health.failed(m.conf.Env.Clock.Now())
		m.mu.Unlock()
		m.watchers.failed(m.dir, "write", d.err)
		if m.warned.CompareAndSwap(false, true) {
			m.conf.Logger.Warn("slatedb: mirror disk failed, reads of what is missing go to the store", "dir", m.dir, "err", d.err)
		}
		return nil
	case err != nil:
		return err
	}
	c := &copied{size: size}
	if young {
		c.young = m.conf.Env.Clock.Now()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.health.wrote()
	m.watchers.works(m.dir)
	if m.mu.closed {
		return nil
	}
	if old := m.mu.files[o]; old != nil {
		m.forgetLocked(o, old)
	}
	m.mu.files[o] = c
	m.mu.bytes += size
	return nil
}

// write makes the file of a copy: temporary name, content, trailer, sync, rename, sync of the
// directory. A crash before the rename leaves a temporary file, which the next start removes.
func (m *Mirror) write(o objectID, size int64, read func(p []byte, off int64) error) (err error) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], m.temp.Add(1))
	temp := filepath.Join(m.dir, hex.EncodeToString(o[:])+hex.EncodeToString(n[:])+tempSuffix)
	f, err := m.conf.FS.Open(temp, true)
	if err != nil {
		return &diskError{err}
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = m.conf.FS.Remove(temp)
		}
	}()
	sum := uint32(0)
	buf := make([]byte, min(size, downloadStep))
	for off := int64(0); off < size; off += downloadStep {
		p := buf[:min(downloadStep, size-off)]
		if err := read(p, off); err != nil {
			return err
		}
		sum = crc32.Update(sum, castagnoli, p)
		if _, err := f.WriteAt(p, off); err != nil {
			return &diskError{err}
		}
	}
	if _, err := f.WriteAt(trailer(o, size, sum), size); err != nil {
		return &diskError{err}
	}
	if err := f.Sync(); err != nil {
		return &diskError{err}
	}
	if err := f.Close(); err != nil {
		return &diskError{err}
	}
	if err := m.conf.FS.Rename(temp, m.file(o)); err != nil {
		return &diskError{err}
	}
	if err := m.conf.FS.Sync(m.dir); err != nil {
		return &diskError{err}
	}
	return nil
}

// forgetLocked takes a copy out of the index; its file is the caller's affair.
func (m *Mirror) forgetLocked(o objectID, c *copied) {
	delete(m.mu.files, o)
	m.mu.bytes -= c.size
	m.closeLocked(c)
}

func (m *Mirror) closeLocked(c *copied) {
	if c.f != nil && c.users == 0 {
		_ = c.f.Close()
		c.f = nil
		m.mu.open--
	}
}

// read fills p from a copy, if there is one.
func (m *Mirror) read(o objectID, p []byte, off int64) bool {
	m.mu.Lock()
	c := m.mu.files[o]
	if c == nil || off > c.size || int64(len(p)) > c.size-off {
		m.mu.Unlock()
		return false
	}
	c.users++
	f := c.f
	m.mu.Unlock()
	var err error
	if f == nil {
		f, err = m.openFile(o, c)
	}
	n := 0
	if err == nil {
		n, _ = f.ReadAt(p, off) // whole or lost, whatever the reason
	}
	m.mu.Lock()
	c.users--
	gone := m.mu.files[o] != c
	if gone {
		m.closeLocked(c)
	}
	m.mu.Unlock()
	if n == len(p) {
		return true
	}
	if !gone {
		m.stats.readErrors.Add(1)
		m.lose(o)
	}
	return false
}

// openFile opens the file of a copy that is in use, and closes others when there are too many.
func (m *Mirror) openFile(o objectID, c *copied) (seam.File, error) {
	f, err := m.conf.FS.Open(m.file(o), false)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.f != nil {
		_ = f.Close()
		return c.f, nil
	}
	c.f = f
	m.mu.open++
	for _, other := range m.mu.files {
		if m.mu.open <= m.conf.MaxOpenFiles {
			break
		}
		m.closeLocked(other)
	}
	return f, nil
}

// lose drops a copy that cannot be read, and fetches it anew.
func (m *Mirror) lose(o objectID) {
	m.mu.Lock()
	c := m.mu.files[o]
	if c != nil {
		m.forgetLocked(o, c)
	}
	m.mu.Unlock()
	if c != nil {
		_ = m.conf.FS.Remove(m.file(o))
		m.Kick()
	}
}
