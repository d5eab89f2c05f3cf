package objstore

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
	"syscall"
)

// List walks folder by folder and reads only those that can hold a key of the answer, each
// when its turn comes. Files that vanish on the way are left out.
func (d *dirStore) List(ctx context.Context, prefix, after string) iter.Seq2[Attributes, error] {
	return func(yield func(Attributes, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(Attributes{}, err)
			return
		}
		folder := ""
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			folder = prefix[:i]
			if badKey(folder) != "" || strings.ContainsAny(folder, forbiddenInNames) {
				return // no key begins so
			}
		}
		r, err := os.OpenRoot(d.dir)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			yield(Attributes{}, fail("list", prefix, explain(err)))
			return
		}
		defer r.Close()
		w := dirWalk{ctx: ctx, store: d, root: r, prefix: prefix, after: after, yield: yield}
		w.folder(folder, nil)
	}
}

type dirWalk struct {
	ctx           context.Context
	store         *dirStore
	root          *os.Root
	prefix, after string
	yield         func(Attributes, error) bool
}

// folder walks one folder ("" is the root) below the given ones and reports whether to go on.
func (w *dirWalk) folder(name string, above []fs.FileInfo) bool {
	open := name
	if name == "" {
		open = "."
	}
	r, err := w.root.OpenRoot(open)
	if err != nil {
		if fi, serr := w.root.Stat(open); serr == nil && !fi.IsDir() {
			return true // prefix "k/" and an object k
		}
		return w.failed(name, err)
	}
	defer r.Close()
	self, entries, err := readFolder(r)
	if err != nil {
		return w.failed(name, err)
	}
	if slices.ContainsFunc(above, func(fi fs.FileInfo) bool { return os.SameFile(fi, self) }) {
		return true // a symbolic link to a folder above: there is nothing new in it
	}
	above = append(above, self)
	w.store.sweep(r, name, entries)
	base := name
	if name != "" {
		base += "/"
	}
	for _, e := range w.pick(base, entries) {
		if child, ok := strings.CutSuffix(e, "/"); ok {
			if !w.folder(base+child, above) {
				return false
			}
			continue
		}
		if err := w.ctx.Err(); err != nil {
			w.yield(Attributes{}, err)
			return false
		}
		fi, err := r.Lstat(e)
		if err == nil && fi.Mode()&fs.ModeSymlink != 0 {
			fi, err = w.root.Stat(base + e) // it may lead out of this folder, but not out of the store
		}
		if errors.Is(err, fs.ErrNotExist) || (err == nil && !fi.Mode().IsRegular()) {
			continue
		}
		if err != nil {
			return w.failed(base+e, err)
		}
		if !w.yield(fileAttributes(base+e, fi), nil) {
			return false
		}
	}
	return true
}

func readFolder(r *os.Root) (fs.FileInfo, []fs.DirEntry, error) {
	f, err := r.Open(".")
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	self, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	entries, err := f.ReadDir(-1)
	return self, entries, err
}

// pick returns the names that matter in the order of the full keys. A folder ends in its
// slash, which is what makes "a-b" < "a/b" < "ab" come out right.
func (w *dirWalk) pick(base string, entries []fs.DirEntry) []string {
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		name := e.Name()
		isDir := e.IsDir()
		if e.Type()&fs.ModeSymlink != 0 {
			fi, err := w.root.Stat(base + name)
			if err != nil {
				continue // it dangles or leads out of the store: what is not inside is not an object
			}
			isDir = fi.IsDir()
		}
		full := base + name
		if isDir {
			full += "/"
			if strings.HasPrefix(full, w.prefix) && (full > w.after || strings.HasPrefix(w.after, full)) {
				names = append(names, name+"/")
			}
			continue
		}
		if !isTempName(name) && strings.HasPrefix(full, w.prefix) && full > w.after {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// failed ends the walk, unless err says that the folder is not there (any more).
func (w *dirWalk) failed(name string, err error) bool {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return true
	}
	w.yield(Attributes{}, fail("list", name, explain(err)))
	return false
}
