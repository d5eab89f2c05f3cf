package memfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/slatedb/slatedb-go/internal/seam"
)

// Errors of a disk, as a system would name them.
var (
	ErrFull    = errors.New("no space left on device")
	ErrIO      = errors.New("input/output error")
	ErrCrashed = errors.New("the process of this handle has crashed")
)

// An Op is one operation, as a Hook sees it.
type Op struct {
	Kind string // "mkdir", "open", "create", "remove", "rename", "list", "syncdir", "lock", "read", "write", "truncate", "sync"
	Name string
	Off  int64
	Len  int
}

// A Verdict says what becomes of an operation.
type Verdict struct {
	Err   error // nil: it happens
	Short bool  // with Err, of a write: the first half of it happens
}

// disk is what survives the process.
type disk struct {
	mu     sync.Mutex
	files  map[string]*inode
	dirs   map[string]bool
	locks  map[string]*FS
	synced map[string]*inode // names that are durable
	limit  int64             // bytes of all files, 0 = none
}

type inode struct {
	data   []byte
	stable []byte // as of the last sync
}

// FS is one process's view of a disk. Crash ends the view, not the disk.
type FS struct {
	d    *disk
	mu   sync.Mutex
	hook func(Op) Verdict
	dead bool
	ops  int
	at   int // crash at this operation, 0 = never
	half bool
	open int // files open
}

var _ seam.FS = (*FS)(nil)

// New returns an empty disk.
func New() *FS {
	return &FS{d: &disk{files: map[string]*inode{}, dirs: map[string]bool{"/": true, ".": true}, locks: map[string]*FS{}, synced: map[string]*inode{}}}
}

// Again returns the view of another process on the same disk.
func (f *FS) Again() *FS { return &FS{d: f.d} }

// Hook has h decide about every operation from now on; nil ends that. It is called without
// a lock.
func (f *FS) Hook(h func(Op) Verdict) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = h
}

// Limit bounds the bytes of all files; a write above fails with ErrFull. 0 = no bound.
func (f *FS) Limit(n int64) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.limit = n
}

// CrashAt ends this view at its nth operation from now, 1 being the next: half of it
// happens when half is set and it is a write, nothing otherwise.
func (f *FS) CrashAt(n int, half bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.half = f.ops+n, half
}

// Crash ends this view: everything fails from now on, and its locks are free.
func (f *FS) Crash() {
	f.mu.Lock()
	f.dead = true
	f.mu.Unlock()
	f.d.mu.Lock()
	maps.DeleteFunc(f.d.locks, func(_ string, o *FS) bool { return o == f })
	f.d.mu.Unlock()
}

// Ops returns how many operations there were.
func (f *FS) Ops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ops
}

// OpenFiles returns how many files are open in this view.
func (f *FS) OpenFiles() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open
}

// PowerCut drops what was not synced: of names all, of content what choose says of each
// file. choose gets the durable and the written bytes and returns those that are there
// afterwards; nil keeps the durable ones.
func (f *FS) PowerCut(choose func(name string, stable, written []byte) []byte) {
	f.Crash()
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	next := map[string]*inode{}
	for name, n := range f.d.files {
		kept := n.stable
		if choose != nil {
			kept = choose(name, n.stable, n.data)
		} else if f.d.synced[name] != n {
			continue
		}
		if kept != nil {
			next[name] = &inode{data: bytes.Clone(kept), stable: bytes.Clone(kept)}
		}
	}
	f.d.files, f.d.synced = next, maps.Clone(next)
}

// Names lists all files, sorted.
func (f *FS) Names() []string {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return slices.Sorted(maps.Keys(f.d.files))
}

// Used returns the bytes of all files.
func (f *FS) Used() int64 {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.d.used()
}

func (d *disk) used() (n int64) {
	for _, i := range d.files {
		n += int64(len(i.data))
	}
	return n
}

// Change replaces the content of a file behind the back of who has it open. nil removes it.
func (f *FS) Change(name string, change func([]byte) []byte) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	n := f.d.files[name]
	if n == nil {
		n = &inode{}
		f.d.files[name] = n
	}
	if n.data = change(n.data); n.data == nil {
		delete(f.d.files, name)
	}
}

// RemoveAll removes a directory with all in it; open files stay usable, as on Unix.
func (f *FS) RemoveAll(dir string) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	in := func(name string) bool { return name == dir || strings.HasPrefix(name, dir+string(filepath.Separator)) }
	maps.DeleteFunc(f.d.files, func(n string, _ *inode) bool { return in(n) })
	maps.DeleteFunc(f.d.dirs, func(n string, _ bool) bool { return in(n) })
	maps.DeleteFunc(f.d.locks, func(n string, _ *FS) bool { return in(n) })
}

// step counts an operation and asks the hook.
func (f *FS) step(op Op) Verdict {
	f.mu.Lock()
	f.ops++
	crash, half, hook := f.ops == f.at, f.half, f.hook
	dead := f.dead
	f.mu.Unlock()
	if dead {
		return Verdict{Err: ErrCrashed}
	}
	if crash {
		f.Crash()
		return Verdict{Err: ErrCrashed, Short: half}
	}
	if hook != nil {
		return hook(op)
	}
	return Verdict{}
}

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// MkdirAll implements seam.FS, as the methods below do.
func (f *FS) MkdirAll(dir string) error {
	if v := f.step(Op{Kind: "mkdir", Name: dir}); v.Err != nil {
		return pathError("mkdir", dir, v.Err)
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	for p := filepath.Clean(dir); !f.d.dirs[p]; p = filepath.Dir(p) {
		f.d.dirs[p] = true
	}
	return nil
}

func (f *FS) Open(name string, create bool) (seam.File, error) {
	kind := "open"
	if create {
		kind = "create"
	}
	if v := f.step(Op{Kind: kind, Name: name}); v.Err != nil {
		return nil, pathError(kind, name, v.Err)
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	n := f.d.files[name]
	if n == nil {
		if !create || !f.d.dirs[filepath.Dir(name)] {
			return nil, pathError(kind, name, fs.ErrNotExist)
		}
		n = &inode{}
		f.d.files[name] = n
	}
	f.mu.Lock()
	f.open++
	f.mu.Unlock()
	return &file{f: f, name: name, n: n}, nil
}

func (f *FS) Remove(name string) error {
	if v := f.step(Op{Kind: "remove", Name: name}); v.Err != nil {
		return pathError("remove", name, v.Err)
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	delete(f.d.files, name)
	return nil
}

func (f *FS) Rename(from, to string) error {
	if v := f.step(Op{Kind: "rename", Name: from}); v.Err != nil {
		return pathError("rename", from, v.Err)
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	n := f.d.files[from]
	if n == nil {
		return pathError("rename", from, fs.ErrNotExist)
	}
	delete(f.d.files, from)
	f.d.files[to] = n
	return nil
}

func (f *FS) List(dir string) ([]seam.FileInfo, error) {
	if v := f.step(Op{Kind: "list", Name: dir}); v.Err != nil {
		return nil, pathError("list", dir, v.Err)
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if !f.d.dirs[filepath.Clean(dir)] {
		return nil, pathError("list", dir, fs.ErrNotExist)
	}
	var out []seam.FileInfo
	for name, n := range f.d.files {
		if filepath.Dir(name) == filepath.Clean(dir) {
			out = append(out, seam.FileInfo{Name: filepath.Base(name), Size: int64(len(n.data))})
		}
	}
	slices.SortFunc(out, func(a, b seam.FileInfo) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (f *FS) Sync(dir string) error {
	if v := f.step(Op{Kind: "syncdir", Name: dir}); v.Err != nil {
		return pathError("sync", dir, v.Err)
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	for name, n := range f.d.files {
		if filepath.Dir(name) == filepath.Clean(dir) {
			f.d.synced[name] = n
		}
	}
	return nil
}

func (f *FS) Lock(name string) (io.Closer, error) {
	if v := f.step(Op{Kind: "lock", Name: name}); v.Err != nil {
		return nil, pathError("lock", name, v.Err)
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if !f.d.dirs[filepath.Dir(name)] {
		return nil, pathError("lock", name, fs.ErrNotExist)
	}
	if f.d.locks[name] != nil {
		return nil, pathError("lock", name, seam.ErrLocked)
	}
	f.d.locks[name] = f
	return &lock{f, name}, nil
}

type lock struct {
	f    *FS
	name string
}

func (l *lock) Close() error {
	l.f.d.mu.Lock()
	defer l.f.d.mu.Unlock()
	if l.f.d.locks[l.name] == l.f {
		delete(l.f.d.locks, l.name)
	}
	return nil
}
