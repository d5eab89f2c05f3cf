package gc

import (
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// The kinds of objects, as reports and metrics name them.
const (
	KindCheckpoint  = "checkpoint" // an expired checkpoint inside the manifest
	KindManifest    = "manifest"
	KindCompactions = "compactions"
	KindWAL         = "wal"
	KindWALFence    = "wal_fence"
	KindCompacted   = "compacted"
	KindDetach      = "detach" // a clone's checkpoint in its parent, and the entry about the parent
)

// kinds are those with a plan of their own, in the order of a pass: manifests before what they
// list.
var kinds = []string{KindManifest, KindCompactions, KindWAL, KindWALFence, KindCompacted, KindDetach}

// An Object is something that was deleted or kept, and why.
type Object struct {
	Kind   string
	Name   string // key of the object; checkpoints: their id; detached parents: path and checkpoint
	Reason string
	Size   int64
}

// A Report says what a pass did. Objects come in the order of the kinds and then of the names.
type Report struct {
	Deleted, Kept []Object
}

func (r *Report) add(ds []Decision) {
	for i := range ds {
		if ds[i].Delete {
			r.Deleted = append(r.Deleted, ds[i].Object)
		} else {
			r.Kept = append(r.Kept, ds[i].Object)
		}
	}
}

// A Decision is what a plan says about one object.
type Decision struct {
	Object
	Delete bool
	// Due is when the object would be deleted if nothing but time changed. Zero: never.
	Due time.Time
	// ID is the number of a manifest, compactions or WAL object.
	ID uint64
}

func (d *Decision) keep(reason string) { d.Delete, d.Reason = false, reason }

func (d *Decision) remove(reason string) { d.Delete, d.Reason = true, reason }

// under returns the prefix of a directory of the database at root.
func under(root, dir string) string {
	if root == "" {
		return dir + "/"
	}
	return root + "/" + dir + "/"
}

// numberOf parses a name like 00000000000000000007.manifest behind prefix. The form is strict:
// what is written otherwise was not written by this engine or its relatives, whatever it is.
func numberOf(key, prefix, ext string) (uint64, bool) {
	const digits = 20
	name, ok := strings.CutPrefix(key, prefix)
	if !ok {
		return 0, false
	}
	name, ok = strings.CutSuffix(name, ext)
	if !ok || len(name) != digits || strings.Trim(name, "0123456789") != "" {
		return 0, false
	}
	id, err := strconv.ParseUint(name, 10, 64)
	return id, err == nil && id > 0
}

// tableOf parses a name like 01M83H9ZKDW4WZG8RVX7JJVGZR.sst behind prefix, as strictly.
func tableOf(key, prefix string) (ulid.ULID, bool) {
	name, ok := strings.CutPrefix(key, prefix)
	if !ok {
		return ulid.ULID{}, false
	}
	name, ok = strings.CutSuffix(name, ".sst")
	if !ok {
		return ulid.ULID{}, false
	}
	id, err := ulid.ParseStrict(name)
	return id, err == nil && id.String() == name // the parser takes lower case too
}
