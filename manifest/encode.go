package manifest

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/internal/flatbuf"
	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/sst"
)

// The encoders write children and slots in the order of manifest.md section 9, which gives
// the very bytes of the Rust writer. Any other order would be read as well; equal bytes make
// the golden files a test of every field. Slot numbers are the places of the fields in the
// tables of internal/flatbuf/schema; they are part of the file format, do not change.

type offset = flatbuf.Offset

// Encode returns the object for m, always in version 2. m must be valid.
func (m *Manifest) Encode() ([]byte, error) {
	b := flatbuf.NewBuilder(1024 + 400*len(m.Root.L0))
	tables := m.tableList()
	ssts := make([]offset, len(tables))
	for i, h := range tables {
		ssts[i] = buildTableV2(b, h)
	}
	sstsAt := b.Offsets(ssts)
	root := buildTree(b, &m.Root)
	segs := make([]offset, len(m.Segments))
	for i := range m.Segments {
		s := &m.Segments[i]
		prefix := b.Bytes(s.Prefix)
		t := buildTree(b, &s.Tree)
		b.StartTable()
		b.Ref(3, t.runs)
		b.Ref(2, t.l0)
		b.Ref(1, t.watermark)
		b.Ref(0, prefix)
		segs[i] = b.EndTable()
	}
	segsAt := b.Offsets(segs)
	name := b.OptionalString(m.ExtractorName)
	checks := make([]offset, len(m.Checkpoints))
	for i := range m.Checkpoints {
		checks[i] = buildCheckpoint(b, &m.Checkpoints[i])
	}
	checksAt := b.Offsets(checks)
	var externalAt offset
	if len(m.External) > 0 {
		ext := make([]offset, len(m.External))
		for i := range m.External {
			ext[i] = buildExternal(b, &m.External[i])
		}
		externalAt = b.Offsets(ext)
	}
	track := b.Bytes(m.Tracker.Append(nil))

	b.StartTable()
	b.U64(14, uint64(m.SnapshotMinSeq))
	b.U64(13, uint64(m.LastL0Seq))
	b.U64(11, uint64(m.LastL0Tick))
	b.U64(6, m.WALLastSeen)
	b.U64(5, m.ReplayAfterWAL)
	b.U64(4, m.CompactorEpoch)
	b.U64(3, m.WriterEpoch)
	b.Ref(17, name)
	b.Ref(16, segsAt)
	b.Ref(15, track)
	b.Ref(12, checksAt)
	b.Ref(10, root.runs)
	b.Ref(9, root.l0)
	b.Ref(8, sstsAt)
	b.Ref(7, root.watermark)
	b.Ref(1, externalAt)
	b.Bool(2, m.Initialized)
	return seal(b, b.EndTable())
}

// seal finishes the buffer and puts the envelope in front.
func seal(b *flatbuf.Builder, root offset) ([]byte, error) {
	out, ok := b.Finish([]byte{envelope2 >> 8, envelope2 & 0xFF}, root)
	if !ok {
		return nil, contentf("more than 2 GiB")
	}
	return out, nil
}

// tableList returns the tables in use, ascending by id.
func (m *Manifest) tableList() []*sst.Handle {
	seen := m.Tables()
	out := make([]*sst.Handle, 0, len(seen))
	for _, h := range seen {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b *sst.Handle) int { return a.ID.ULID().Compare(b.ID.ULID()) })
	return out
}

// buildInfo is sst.Info.Build on this builder.
func buildInfo(b *flatbuf.Builder, i *sst.Info) offset {
	first := b.OptionalBytes(i.First)
	last := b.OptionalBytes(i.Last)
	b.StartTable()
	b.U64(9, i.StatsLen)
	b.U64(8, i.StatsOffset)
	b.U64(4, i.FilterLen)
	b.U64(3, i.FilterOffset)
	b.U64(2, i.IndexLen)
	b.U64(1, i.IndexOffset)
	b.Ref(7, last)
	b.Ref(0, first)
	b.Bool(10, i.CompositeFilter)
	b.Bool(6, i.WAL)
	b.U8(5, uint8(i.Codec))
	return b.EndTable()
}

func buildTableV2(b *flatbuf.Builder, h *sst.Handle) offset {
	id := buildULID(b, h.ID.ULID())
	info := buildInfo(b, &h.Info)
	b.StartTable()
	b.Ref(1, info)
	b.Ref(0, id)
	b.PutU16(2, h.Format)
	return b.EndTable()
}

type treeOffsets struct{ l0, watermark, runs offset }

func buildTree(b *flatbuf.Builder, t *Tree) (o treeOffsets) {
	o.l0 = buildViews(b, t.L0)
	if t.LastCompactedL0 != (ulid.ULID{}) {
		o.watermark = buildULID(b, t.LastCompactedL0)
	}
	runs := make([]offset, len(t.Runs))
	for i := range t.Runs {
		views := buildViews(b, t.Runs[i].Views)
		b.StartTable()
		b.Ref(1, views)
		b.U32(0, t.Runs[i].ID)
		runs[i] = b.EndTable()
	}
	o.runs = b.Offsets(runs)
	return o
}

func buildViews(b *flatbuf.Builder, views []sst.View) offset {
	out := make([]offset, len(views))
	for i := range views {
		v := &views[i]
		table := buildULID(b, v.Table.ID.ULID())
		var visible offset
		if v.Visible != nil {
			visible = buildRange(b, v.Visible)
		}
		id := buildULID(b, v.ID)
		b.StartTable()
		b.Ref(2, visible)
		b.Ref(1, table)
		b.Ref(0, id)
		out[i] = b.EndTable()
	}
	return b.Offsets(out)
}

func buildCheckpoint(b *flatbuf.Builder, c *Checkpoint) offset {
	id := buildUUID(b, c.ID)
	name := b.OptionalString(c.Name)
	b.StartTable()
	b.U64(1, c.ManifestID)
	b.Ref(6, name)
	b.U32(3, seconds(c.CreateTime))
	if !c.ExpireTime.IsZero() {
		// 0 would mean never: a moment before 1970 becomes the first second after it.
		b.U32(2, max(seconds(c.ExpireTime), 1))
	}
	b.Ref(0, id)
	return b.EndTable()
}

// seconds cuts t to what the format can hold.
func seconds(t time.Time) uint32 { return uint32(min(max(t.Unix(), 0), math.MaxUint32)) }

func buildExternal(b *flatbuf.Builder, e *ExternalDB) offset {
	path := b.String(e.Path)
	source := buildUUID(b, e.SourceCheckpoint)
	var final offset
	if e.FinalCheckpoint != uuid.Nil {
		final = buildUUID(b, e.FinalCheckpoint)
	}
	ids := buildULIDs(b, e.Tables)
	b.StartTable()
	b.Ref(3, ids)
	b.Ref(2, final)
	b.Ref(1, source)
	b.Ref(0, path)
	return b.EndTable()
}

func buildULID(b *flatbuf.Builder, id ulid.ULID) offset {
	b.StartTable()
	b.U64(1, binary.BigEndian.Uint64(id[8:]))
	b.U64(0, binary.BigEndian.Uint64(id[:8]))
	return b.EndTable()
}

func buildULIDs(b *flatbuf.Builder, ids []ulid.ULID) offset {
	out := make([]offset, len(ids))
	for i, id := range ids {
		out[i] = buildULID(b, id)
	}
	return b.Offsets(out)
}

func buildUUID(b *flatbuf.Builder, id uuid.UUID) offset {
	b.StartTable()
	b.U64(1, binary.BigEndian.Uint64(id[8:]))
	b.U64(0, binary.BigEndian.Uint64(id[:8]))
	return b.EndTable()
}

func buildRange(b *flatbuf.Builder, r *kv.Range) offset {
	start := buildBound(b, r.Start, r.StartExclusive)
	end := buildBound(b, r.End, !r.EndInclusive)
	b.StartTable()
	b.Ref(1, end)
	b.Ref(0, start)
	return b.EndTable()
}

func buildBound(b *flatbuf.Builder, key []byte, excluded bool) offset {
	typ := flatbuf.BoundTypeUnbounded
	var at offset
	if key != nil {
		at = b.Bytes(key)
		typ = flatbuf.BoundTypeIncluded
		if excluded {
			typ = flatbuf.BoundTypeExcluded
		}
	}
	b.StartTable()
	b.Ref(0, at)
	b.U8(1, uint8(typ))
	return b.EndTable()
}
