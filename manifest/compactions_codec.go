package manifest

import (
	"bytes"
	"fmt"
	"slices"

	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/slatedb/slatedb-go/internal/flatbuf"
	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/sst"
)

// DecodeCompactions reads the compactions object with this key and id, as Decode does.
func DecodeCompactions(object string, id uint64, data []byte) (*Compactions, error) {
	c, err := decodeCompactions(data)
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		return nil, sst.Corrupt(object, -1, fmt.Errorf("decode compactions: %w", err))
	}
	c.ID = id
	return c, nil
}

func decodeCompactions(data []byte) (*Compactions, error) {
	version, body, err := openEnvelope(data)
	if err != nil {
		return nil, err
	}
	if version != envelope1 && version != envelope2 {
		return nil, contentf("unknown format version %d", version)
	}
	if err := flatbuf.VerifyCompactionsV1(body); err != nil {
		return nil, err
	}
	f := flatbuf.GetRootAsCompactionsV1(body, 0)
	c := &Compactions{FormatVersion: version, CompactorEpoch: f.CompactorEpoch()}
	var j flatbuf.Compaction
	for i := range f.RecentCompactionsLength() {
		f.RecentCompactions(&j, i)
		job, err := decodeJob(&j, version)
		if err != nil {
			return nil, fmt.Errorf("job %s: %w", job.ID, err)
		}
		c.Jobs = append(c.Jobs, job)
	}
	// Ascending; of two with one id the later one counts.
	slices.SortStableFunc(c.Jobs, func(a, b Compaction) int { return a.ID.Compare(b.ID) })
	out := c.Jobs[:0]
	for i := range c.Jobs {
		if i+1 == len(c.Jobs) || c.Jobs[i+1].ID != c.Jobs[i].ID {
			out = append(out, c.Jobs[i])
		}
	}
	c.Jobs = out
	return c, nil
}

func decodeJob(f *flatbuf.Compaction, version uint16) (j Compaction, err error) {
	j.ID = ulidOf(f.Id(nil))
	if s := f.Status(); s >= 0 && Status(s) <= Scheduled {
		j.Status = Status(s) // everything unknown is read as Submitted
	}
	if j.Spec, err = decodeSpec(f, version); err != nil {
		return j, err
	}
	if j.Outputs, err = outputs(f.OutputSstsLength(), f.OutputSsts); err != nil {
		return j, err
	}
	if w := f.Worker(nil); w != nil && len(w.WorkerId()) > 0 {
		j.Worker = &Worker{ID: string(w.WorkerId()), HeartbeatMillis: w.LastHeartbeatMs()}
	}
	switch t := f.CtxType(); t {
	case flatbuf.CompactionContextNONE:
	case flatbuf.CompactionContextTieredCompactionContext:
		j.Context, err = decodeContext(f)
	default:
		err = contentf("unknown context type %d", t)
	}
	return j, err
}

func decodeSpec(f *flatbuf.Compaction, version uint16) (s Spec, err error) {
	var t flatbuffers.Table
	f.Spec(&t)
	switch typ := f.SpecType(); typ {
	case flatbuf.CompactionSpecTieredCompactionSpec:
		var x flatbuf.TieredCompactionSpec
		x.Init(t.Bytes, t.Pos)
		s.Segment = prefixOf(x.SegmentBytes())
		s.L0Views = ulids(x.L0ViewIdsLength(), x.L0ViewIds)
		if t.Offset(8) == 0 { // slot 2: only when the field is absent its old form counts
			s.L0Views = ulids(x.SstsLength(), x.Ssts)
		}
		s.Runs = numbers(x.SortedRunsLength(), x.SortedRuns)
		s.Destination = x.Destination()
		if version == envelope1 {
			s.Destination = 0
			if len(s.Runs) > 0 {
				s.Destination = slices.Min(s.Runs)
			}
		}
	case flatbuf.CompactionSpecDrainSegmentSpec:
		var x flatbuf.DrainSegmentSpec
		x.Init(t.Bytes, t.Pos)
		s.Drain = true
		s.Segment = prefixOf(x.SegmentBytes())
		s.L0Views = ulids(x.L0ViewIdsLength(), x.L0ViewIds)
		s.Runs = numbers(x.SortedRunsLength(), x.SortedRuns)
	default:
		err = contentf("unknown spec type %d", typ)
	}
	return s, err
}

// prefixOf copies a segment's prefix; the root tree's is nil.
func prefixOf(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}

func decodeContext(f *flatbuf.Compaction) (*Context, error) {
	var t flatbuffers.Table
	f.Ctx(&t)
	var x flatbuf.TieredCompactionContext
	x.Init(t.Bytes, t.Pos)
	c := &Context{RetentionMinSeq: kv.Seq(x.RetentionMinSeq())}
	var s flatbuf.Subcompaction
	for i := range x.SubcompactionsLength() {
		x.Subcompactions(&s, i)
		var sub Subcompaction
		var err error
		if sub.Range, err = keyRange(s.Range(nil)); err != nil {
			return nil, fmt.Errorf("range %d: %w", i, err)
		}
		if sub.Outputs, err = outputs(s.OutputSstsLength(), s.OutputSsts); err != nil {
			return nil, fmt.Errorf("range %d: %w", i, err)
		}
		switch st := s.Status(); st {
		case flatbuf.SubcompactionStatusInProgress:
		case flatbuf.SubcompactionStatusCompleted:
			sub.Done = true
		default:
			return nil, contentf("range %d has unknown status %d", i, st)
		}
		c.Ranges = append(c.Ranges, sub)
	}
	return c, nil
}

func outputs(n int, at func(*flatbuf.CompactedSsTable, int) bool) ([]*sst.Handle, error) {
	var out []*sst.Handle
	var f flatbuf.CompactedSsTable
	for i := range n {
		at(&f, i)
		h, err := handle(ulidOf(f.Id(nil)), f.Info(nil), f.FormatVersion())
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

func numbers(n int, at func(int) uint32) []uint32 {
	var out []uint32
	for i := range n {
		out = append(out, at(i))
	}
	return out
}

// Encode returns the object for c, always in version 2. c must be valid.
func (c *Compactions) Encode() ([]byte, error) {
	b := flatbuf.NewBuilder(1024)
	jobs := make([]offset, len(c.Jobs))
	for i := range c.Jobs {
		jobs[i] = buildJob(b, &c.Jobs[i])
	}
	jobsAt := b.Offsets(jobs)
	b.StartTable()
	b.U64(0, c.CompactorEpoch)
	b.Ref(1, jobsAt)
	return seal(b, b.EndTable())
}

func buildJob(b *flatbuf.Builder, j *Compaction) offset {
	id := buildULID(b, j.ID)
	specType, spec := buildSpec(b, &j.Spec)
	var worker, context offset
	if j.Worker != nil {
		name := b.OptionalString(j.Worker.ID)
		b.StartTable()
		b.U64(1, j.Worker.HeartbeatMillis)
		b.Ref(0, name)
		worker = b.EndTable()
	}
	contextType := flatbuf.CompactionContextNONE
	if j.Context != nil {
		contextType = flatbuf.CompactionContextTieredCompactionContext
		context = buildContext(b, j.Context)
	}
	out := buildOutputs(b, j.Outputs)
	b.StartTable()
	b.Ref(7, context)
	b.Ref(5, worker)
	b.Ref(4, out)
	b.Ref(2, spec)
	b.Ref(0, id)
	b.U8(6, uint8(contextType))
	b.U8(3, uint8(j.Status))
	b.U8(1, uint8(specType))
	return b.EndTable()
}

func buildSpec(b *flatbuf.Builder, s *Spec) (flatbuf.CompactionSpec, offset) {
	var views, runs offset
	if len(s.L0Views) > 0 {
		views = buildULIDs(b, s.L0Views)
	}
	if len(s.Runs) > 0 {
		runs = b.Uint32s(s.Runs)
	}
	segment := b.Bytes(s.Segment)
	if s.Drain {
		b.StartTable()
		b.Ref(2, runs)
		b.Ref(1, views)
		b.Ref(0, segment)
		return flatbuf.CompactionSpecDrainSegmentSpec, b.EndTable()
	}
	b.StartTable()
	b.U32(4, s.Destination)
	b.Ref(3, segment)
	b.Ref(2, views)
	b.Ref(1, runs)
	return flatbuf.CompactionSpecTieredCompactionSpec, b.EndTable()
}

func buildContext(b *flatbuf.Builder, c *Context) offset {
	var subs offset
	if len(c.Ranges) > 0 {
		items := make([]offset, len(c.Ranges))
		for i := range c.Ranges {
			s := &c.Ranges[i]
			r := buildRange(b, &s.Range)
			var out offset
			if len(s.Outputs) > 0 {
				out = buildOutputs(b, s.Outputs)
			}
			b.StartTable()
			b.Ref(1, out)
			b.Ref(0, r)
			if s.Done {
				b.U8(2, uint8(flatbuf.SubcompactionStatusCompleted))
			}
			items[i] = b.EndTable()
		}
		subs = b.Offsets(items)
	}
	b.StartTable()
	b.U64(1, uint64(c.RetentionMinSeq))
	b.Ref(0, subs)
	return b.EndTable()
}

func buildOutputs(b *flatbuf.Builder, hs []*sst.Handle) offset {
	items := make([]offset, len(hs))
	for i, h := range hs {
		id := buildULID(b, h.ID.ULID())
		info := buildInfo(b, &h.Info)
		b.StartTable()
		b.Ref(1, info)
		b.Ref(0, id)
		b.PutU16(3, h.Format)
		items[i] = b.EndTable()
	}
	return b.Offsets(items)
}
