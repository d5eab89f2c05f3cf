package objstore

import (
	"io/fs"
	"os"
	"strings"
	"time"
)

// What killed processes leave: KEY#N files that nobody will rename any more. A listing removes
// those of the folders that it reads, which costs nothing where there are none:
//
//	readFolder ─▶ names KEY#N? ─no─▶ done
//	                  └─ not looked at for an hour ─▶ stat each ─▶ a day old ─▶ remove
//
// A write that goes on touches its file, and needs moments from the last byte to the rename;
// the day is for one whose process, machine or network disk stands still. Nothing hangs on it,
// nor on clocks that agree: a writer that wakes up later finds its file gone, its link or
// rename fails, nothing has happened (NoEffect), and a retry writes a new file. That is so
// because a process never finds another one's file under its name: each counts from a random
// number (tempNumber). It would give its key to somebody else's half a file otherwise.
//
// The Rust engine counts from 1 for every key. One of its writers would have to sleep for a
// day and wake up in the moment in which another one writes the same key.
const (
	staleAge   = 24 * time.Hour
	sweepEvery = time.Hour // per folder and store
	sweepMost  = 1000      // removals by one listing of a folder; the next one goes on
)

// sweep removes the stale temporary files among the entries of a folder. What cannot be
// removed stays: a store may be read-only, and a listing does not fail for it.
func (d *dirStore) sweep(r *os.Root, folder string, entries []fs.DirEntry) {
	var now time.Time
	removed := 0
	for _, e := range entries {
		if !isSweepable(e) {
			continue
		}
		if now.IsZero() {
			now = d.clock.Now()
			if last, ok := d.swept.Load(folder); ok && now.Sub(last.(time.Time)).Abs() < sweepEvery {
				return
			}
			d.swept.Store(folder, now)
		}
		// The entry may be of another file than the name is by now.
		fi, err := r.Lstat(e.Name())
		if err != nil || !fi.Mode().IsRegular() || now.Sub(fi.ModTime()) < staleAge {
			continue
		}
		if r.Remove(e.Name()) != nil {
			continue
		}
		if removed++; removed == sweepMost {
			d.swept.Delete(folder)
			return
		}
	}
}

// isSweepable reports whether a file has the name of a temporary one: a key, '#', a number.
// isTempName hides more than that, such as the "#notes#" of an editor, which is not ours.
func isSweepable(e fs.DirEntry) bool {
	name := e.Name()
	key := strings.TrimRight(name, "0123456789")
	return len(key) < len(name) && len(key) > 1 && key[len(key)-1] == '#' && name != lockName && e.Type().IsRegular()
}
