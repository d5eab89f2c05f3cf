package manifest

import (
	"bytes"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/sst"
)

// A Manifest is one version of the root of a database.
type Manifest struct {
	// ID is the number of the version, taken from the object's name. First is 1; 0 means
	// not stored yet.
	ID uint64
	// FormatVersion is the envelope it was read from, 1 or 2. Written is always 2.
	FormatVersion uint16
	// Initialized is false while a clone is being made. Such a database must not be opened.
	Initialized bool
	// WriterEpoch and CompactorEpoch count the claims of each role. Only a claim changes them.
	WriterEpoch    uint64
	CompactorEpoch uint64
	// ReplayAfterWAL: every row of WAL objects up to this id is in a table. Replay begins
	// behind it. Writer.
	ReplayAfterWAL uint64
	// WALLastSeen is the highest WAL id known durable when this was written, which is not
	// the end of the log. Readers of a checkpoint and clones end there. Writer.
	WALLastSeen uint64
	// LastL0Tick is the largest creation time (Unix milliseconds) of a row in a table,
	// math.MinInt64 when there is none. Writer.
	LastL0Tick int64
	// LastL0Seq: every row up to this seq is in a table, and none above it is. Writer.
	LastL0Seq kv.Seq
	// SnapshotMinSeq is the smallest seq that a snapshot of the writer still reads at;
	// compaction keeps what is visible there. Writer.
	SnapshotMinSeq kv.Seq
	// Tracker relates seqs to times. Writer.
	Tracker Tracker
	// Root holds everything when there is no segment extractor, and nothing otherwise.
	Root Tree
	// Segments are ascending by prefix; no prefix begins with another one.
	Segments []Segment
	// ExtractorName names the function that finds the segment of a key, "" = none. Set once.
	ExtractorName string
	// Checkpoints pin versions. Anyone may add and remove them.
	Checkpoints []Checkpoint
	// External lists the tables that belong to parent databases (this is a clone).
	External []ExternalDB
	// WALObjectStoreURI is what a version 1 manifest says about a separate WAL store. It is
	// for the opener to compare with its configuration and is never dialled; version 2 has
	// no place for it.
	WALObjectStoreURI string
}

// A Tree is a list of L0 tables above a list of sorted runs.
type Tree struct {
	// LastCompactedL0 is the id of the newest L0 view that was compacted away, zero when
	// none was. Compactor.
	LastCompactedL0 ulid.ULID
	// L0 is newest first. The writer adds at the front, the compactor removes.
	L0 []sst.View
	// Runs are strictly descending by id, newest data first. Compactor.
	Runs []sst.SortedRun
}

// A Segment is a tree of its own for the keys with one prefix.
type Segment struct {
	Prefix []byte
	Tree
}

// A Checkpoint pins the manifest version ManifestID and all that it needs. Times are stored
// as whole seconds of 32 bits.
type Checkpoint struct {
	ID         uuid.UUID
	ManifestID uint64
	CreateTime time.Time
	ExpireTime time.Time // zero = never
	Name       string    // need not be unique, "" = none
}

// Expired reports whether the checkpoint no longer protects anything at time now.
func (c *Checkpoint) Expired(now time.Time) bool {
	return !c.ExpireTime.IsZero() && !c.ExpireTime.After(now)
}

// An ExternalDB says which tables are borrowed from a parent.
type ExternalDB struct {
	Path             string    // root of the parent in the same object store
	SourceCheckpoint uuid.UUID // what the clone was made from
	FinalCheckpoint  uuid.UUID // the clone's own checkpoint in the parent, zero while it has none
	Tables           []ulid.ULID
}

// New returns the content of the first manifest of an empty database.
func New(extractorName string) *Manifest {
	return &Manifest{FormatVersion: 2, Initialized: true, LastL0Tick: math.MinInt64, ExtractorName: extractorName}
}

// Clone returns a copy whose lists may be changed without touching m. Table handles, visible
// ranges and key bytes are shared, they never change.
func (m *Manifest) Clone() *Manifest {
	c := *m
	c.Tracker = m.Tracker.Clone()
	c.Root = m.Root.Clone()
	c.Segments = slices.Clone(m.Segments)
	for i := range c.Segments {
		c.Segments[i].Tree = c.Segments[i].Tree.Clone()
	}
	c.Checkpoints = slices.Clone(m.Checkpoints)
	c.External = slices.Clone(m.External)
	for i := range c.External {
		c.External[i].Tables = slices.Clone(c.External[i].Tables)
	}
	return &c
}

// Clone returns a copy in the sense of Manifest.Clone.
func (t *Tree) Clone() Tree {
	c := *t
	c.L0 = slices.Clone(t.L0)
	c.Runs = slices.Clone(t.Runs)
	for i := range c.Runs {
		c.Runs[i].Views = slices.Clone(c.Runs[i].Views)
	}
	return c
}

// Empty reports whether the tree holds no L0 view and no run.
func (t *Tree) Empty() bool { return len(t.L0) == 0 && len(t.Runs) == 0 }

// Views yields every view of the tree: L0, then the runs.
func (t *Tree) Views() iter.Seq[*sst.View] {
	return func(yield func(*sst.View) bool) {
		for i := range t.L0 {
			if !yield(&t.L0[i]) {
				return
			}
		}
		for r := range t.Runs {
			for i := range t.Runs[r].Views {
				if !yield(&t.Runs[r].Views[i]) {
					return
				}
			}
		}
	}
}

// Trees yields the root tree (prefix nil) and then the segments.
func (m *Manifest) Trees() iter.Seq2[[]byte, *Tree] {
	return func(yield func([]byte, *Tree) bool) {
		if !yield(nil, &m.Root) {
			return
		}
		for i := range m.Segments {
			if !yield(m.Segments[i].Prefix, &m.Segments[i].Tree) {
				return
			}
		}
	}
}

// Views yields every view of every tree.
func (m *Manifest) Views() iter.Seq[*sst.View] {
	return func(yield func(*sst.View) bool) {
		for _, t := range m.Trees() {
			for v := range t.Views() {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// Tables returns the distinct tables in use by id.
func (m *Manifest) Tables() map[ulid.ULID]*sst.Handle {
	out := make(map[ulid.ULID]*sst.Handle)
	for v := range m.Views() {
		out[v.Table.ID.ULID()] = v.Table
	}
	return out
}

// Segment returns the segment with exactly this prefix, or nil.
func (m *Manifest) Segment(prefix []byte) *Segment {
	i, ok := m.findSegment(prefix)
	if !ok {
		return nil
	}
	return &m.Segments[i]
}

func (m *Manifest) findSegment(prefix []byte) (int, bool) {
	return slices.BinarySearchFunc(m.Segments, prefix, func(s Segment, p []byte) int {
		return bytes.Compare(s.Prefix, p)
	})
}

// TreeFor returns the tree that holds key: its segment when one has a prefix of key, the root
// tree of a database without segments, and nil when the segment does not exist yet.
func (m *Manifest) TreeFor(key []byte) *Tree {
	i, ok := m.findSegment(key)
	if !ok {
		i-- // prefixes form an antichain: only the greatest one below key can be its prefix
	}
	if i >= 0 && bytes.HasPrefix(key, m.Segments[i].Prefix) {
		return &m.Segments[i].Tree
	}
	if m.ExtractorName == "" {
		return &m.Root
	}
	return nil
}

// Checkpoint returns the checkpoint with this id, or nil.
func (m *Manifest) Checkpoint(id uuid.UUID) *Checkpoint {
	for i := range m.Checkpoints {
		if m.Checkpoints[i].ID == id {
			return &m.Checkpoints[i]
		}
	}
	return nil
}
