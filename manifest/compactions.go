package manifest

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/sst"
)

// Compactions is one version of the compactor's job list: all unfinished jobs and at most
// one finished one, ascending by id.
type Compactions struct {
	ID             uint64 // number of the version, 0 = not stored yet
	FormatVersion  uint16 // envelope it was read from, 1 or 2. Written is always 2.
	CompactorEpoch uint64
	Jobs           []Compaction
}

// A Status is how far a job is. The numbers are part of the file format, do not change.
type Status uint8

// The states of a job.
const (
	Submitted Status = 0 // wanted, not validated
	Running   Status = 1 // claimed by a worker
	Completed Status = 2 // in the manifest
	Failed    Status = 3 // rejected
	Compacted Status = 4 // output complete, not yet in the manifest
	Scheduled Status = 5 // validated, free to claim
)

func (s Status) String() string {
	switch s {
	case Submitted:
		return "Submitted"
	case Running:
		return "Running"
	case Completed:
		return "Completed"
	case Failed:
		return "Failed"
	case Compacted:
		return "Compacted"
	case Scheduled:
		return "Scheduled"
	}
	return fmt.Sprintf("Status(%d)", uint8(s))
}

// Finished reports whether the job has ended.
func (s Status) Finished() bool { return s == Completed || s == Failed }

// A Compaction is one job.
type Compaction struct {
	ID     ulid.ULID // its time is when the job was made; outputs are never older
	Spec   Spec
	Status Status
	// Outputs are the tables of the output run in key order. They mean something only in
	// Compacted and Completed.
	Outputs []*sst.Handle
	Worker  *Worker  // who has claimed it, nil = nobody
	Context *Context // what a worker has reported so far, nil = nothing
}

// A Spec says what a job merges. Sources in order of precedence: L0 views newest first, then
// runs descending.
type Spec struct {
	// Drain removes the sources from their segment without an output.
	Drain       bool
	Segment     []byte // prefix, empty = root tree
	L0Views     []ulid.ULID
	Runs        []uint32
	Destination uint32 // id of the output run
}

// A Worker is the owner of a running job.
type Worker struct {
	ID              string
	HeartbeatMillis uint64 // Unix milliseconds
}

// A Context lets another worker go on with a job.
type Context struct {
	// Ranges partition the whole key space, ascending.
	Ranges []Subcompaction
	// RetentionMinSeq was sampled when the job was planned and is used again on resume,
	// 0 = none.
	RetentionMinSeq kv.Seq
}

// A Subcompaction is one key range of a job.
type Subcompaction struct {
	Range   kv.Range
	Outputs []*sst.Handle // finished so far
	Done    bool
}

// Job returns the job with this id, or nil.
func (c *Compactions) Job(id ulid.ULID) *Compaction {
	i, ok := c.find(id)
	if !ok {
		return nil
	}
	return &c.Jobs[i]
}

func (c *Compactions) find(id ulid.ULID) (int, bool) {
	return slices.BinarySearchFunc(c.Jobs, id, func(j Compaction, id ulid.ULID) int { return j.ID.Compare(id) })
}

// Put adds a job or replaces the one with its id.
func (c *Compactions) Put(j Compaction) {
	i, ok := c.find(j.ID)
	if !ok {
		c.Jobs = slices.Insert(c.Jobs, i, Compaction{})
	}
	c.Jobs[i] = j
}

// Trim removes the finished jobs except for the newest of them, which protects the tables of
// a commit in progress from the collector.
func (c *Compactions) Trim() {
	var newest ulid.ULID
	for i := range c.Jobs {
		if c.Jobs[i].Status.Finished() {
			newest = c.Jobs[i].ID // ascending
		}
	}
	c.Jobs = slices.DeleteFunc(c.Jobs, func(j Compaction) bool { return j.Status.Finished() && j.ID != newest })
}

// Clone returns a copy whose lists may be changed without touching c. Table handles and key
// bytes are shared, they never change.
func (c *Compactions) Clone() *Compactions {
	d := *c
	d.Jobs = slices.Clone(c.Jobs)
	for i := range d.Jobs {
		d.Jobs[i] = d.Jobs[i].Clone()
	}
	return &d
}

// Clone returns a copy in the sense of Compactions.Clone.
func (j *Compaction) Clone() Compaction {
	d := *j
	d.Spec.Segment = bytes.Clone(j.Spec.Segment)
	d.Spec.L0Views = slices.Clone(j.Spec.L0Views)
	d.Spec.Runs = slices.Clone(j.Spec.Runs)
	d.Outputs = slices.Clone(j.Outputs)
	if j.Worker != nil {
		w := *j.Worker
		d.Worker = &w
	}
	if j.Context != nil {
		x := *j.Context
		x.Ranges = slices.Clone(x.Ranges)
		for i := range x.Ranges {
			x.Ranges[i].Outputs = slices.Clone(x.Ranges[i].Outputs)
		}
		d.Context = &x
	}
	return d
}
