package manifest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/google/uuid"
	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/internal/flatbuf"
	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/sst"
)

// Envelope versions: the first two bytes of an object, big endian. Part of the file format,
// do not change.
const (
	envelope1 = 1 // read only
	envelope2 = 2

	envelopeLen = 2
)

// errContent is what is wrong with content that has a readable form. The border makes a
// *sst.CorruptionError of it.
var errContent = errors.New("invalid content")

func contentf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errContent, fmt.Sprintf(format, args...))
}

// Decode reads the manifest object with this key and id. The result is validated and shares
// nothing with data. Every error is a *sst.CorruptionError that names the object.
func Decode(object string, id uint64, data []byte) (*Manifest, error) {
	m, err := decodeManifest(data)
	if err == nil {
		err = m.Validate()
	}
	if err != nil {
		return nil, sst.Corrupt(object, -1, fmt.Errorf("decode manifest: %w", err))
	}
	m.ID = id
	return m, nil
}

func openEnvelope(data []byte) (version uint16, body []byte, err error) {
	if len(data) < envelopeLen {
		return 0, nil, contentf("%d bytes, shorter than its envelope", len(data))
	}
	return binary.BigEndian.Uint16(data), data[envelopeLen:], nil
}

func decodeManifest(data []byte) (*Manifest, error) {
	version, body, err := openEnvelope(data)
	if err != nil {
		return nil, err
	}
	switch version {
	case envelope1:
		if err := flatbuf.VerifyManifestV1(body); err != nil {
			return nil, err
		}
		return decodeV1(flatbuf.GetRootAsManifestV1(body, 0))
	case envelope2:
		if err := flatbuf.VerifyManifestV2(body); err != nil {
			return nil, err
		}
		return decodeV2(flatbuf.GetRootAsManifestV2(body, 0))
	}
	return nil, contentf("unknown format version %d", version)
}

func decodeV2(f *flatbuf.ManifestV2) (*Manifest, error) {
	m := &Manifest{
		FormatVersion: envelope2, Initialized: f.Initialized(),
		WriterEpoch: f.WriterEpoch(), CompactorEpoch: f.CompactorEpoch(),
		ReplayAfterWAL: f.ReplayAfterWalId(), WALLastSeen: f.WalIdLastSeen(),
		LastL0Tick: f.LastL0ClockTick(), LastL0Seq: kv.Seq(f.LastL0Seq()),
		SnapshotMinSeq: kv.Seq(f.RecentSnapshotMinSeq()), ExtractorName: string(f.SegmentExtractorName()),
	}
	d := decoder{tables: make(map[ulid.ULID]*sst.Handle, f.SstsLength())}
	var err error
	if m.External, err = d.external(f.ExternalDbsLength(), f.ExternalDbs); err != nil {
		return nil, err
	}
	if err := d.tablesV2(f); err != nil {
		return nil, err
	}
	m.Root.LastCompactedL0 = ulidOf(f.LastCompactedL0SstViewId(nil))
	if m.Root.L0, err = d.views(f.L0Length(), f.L0); err != nil {
		return nil, fmt.Errorf("l0: %w", err)
	}
	if m.Root.Runs, err = d.runs(f.CompactedLength(), f.Compacted); err != nil {
		return nil, err
	}
	var s flatbuf.Segment
	for i := range f.SegmentsLength() {
		f.Segments(&s, i)
		seg := Segment{Prefix: bytes.Clone(s.PrefixBytes())}
		seg.LastCompactedL0 = ulidOf(s.LastCompactedL0SstViewId(nil))
		if seg.L0, err = d.views(s.L0Length(), s.L0); err != nil {
			return nil, fmt.Errorf("segment %q: l0: %w", seg.Prefix, err)
		}
		if seg.Runs, err = d.runs(s.CompactedLength(), s.Compacted); err != nil {
			return nil, fmt.Errorf("segment %q: %w", seg.Prefix, err)
		}
		m.Segments = append(m.Segments, seg)
	}
	slices.SortStableFunc(m.Segments, func(a, b Segment) int { return bytes.Compare(a.Prefix, b.Prefix) })
	m.Checkpoints = checkpoints(f.CheckpointsLength(), f.Checkpoints)
	m.Tracker, err = tracker(f.Table(), f.SequenceTrackerBytes(), 34)
	return m, err
}

// decodeV1 brings the old shape into the new one: every row is a table and a view of it, with
// the same id.
func decodeV1(f *flatbuf.ManifestV1) (*Manifest, error) {
	m := &Manifest{
		FormatVersion: envelope1, Initialized: f.Initialized(),
		WriterEpoch: f.WriterEpoch(), CompactorEpoch: f.CompactorEpoch(),
		ReplayAfterWAL: f.ReplayAfterWalId(), WALLastSeen: f.WalIdLastSeen(),
		LastL0Tick: f.LastL0ClockTick(), LastL0Seq: kv.Seq(f.LastL0Seq()),
		SnapshotMinSeq: kv.Seq(f.RecentSnapshotMinSeq()), WALObjectStoreURI: string(f.WalObjectStoreUri()),
	}
	d := decoder{tables: make(map[ulid.ULID]*sst.Handle)}
	var err error
	if m.External, err = d.external(f.ExternalDbsLength(), f.ExternalDbs); err != nil {
		return nil, err
	}
	m.Root.LastCompactedL0 = ulidOf(f.L0LastCompacted(nil))
	if m.Root.L0, err = d.viewsV1(f.L0Length(), f.L0); err != nil {
		return nil, fmt.Errorf("l0: %w", err)
	}
	var r flatbuf.SortedRun
	for i := range f.CompactedLength() {
		f.Compacted(&r, i)
		run := sst.SortedRun{ID: r.Id()}
		if run.Views, err = d.viewsV1(r.SstsLength(), r.Ssts); err != nil {
			return nil, fmt.Errorf("run %d: %w", run.ID, err)
		}
		m.Root.Runs = append(m.Root.Runs, run)
	}
	m.Checkpoints = checkpoints(f.CheckpointsLength(), f.Checkpoints)
	m.Tracker, err = tracker(f.Table(), f.SequenceTrackerBytes(), 34)
	return m, err
}

// decoder holds what the parts of one manifest share.
type decoder struct {
	tables map[ulid.ULID]*sst.Handle
	roots  map[ulid.ULID]string // tables of parents and their roots
}

func (d *decoder) external(n int, at func(*flatbuf.ExternalDb, int) bool) ([]ExternalDB, error) {
	var out []ExternalDB
	var f flatbuf.ExternalDb
	for i := range n {
		at(&f, i)
		e := ExternalDB{
			Path: string(f.Path()), SourceCheckpoint: uuidOf(f.SourceCheckpointId(nil)),
			FinalCheckpoint: uuidOf(f.FinalCheckpointId(nil)), Tables: ulids(f.SstIdsLength(), f.SstIds),
		}
		// Checked before a handle can carry it as its root.
		if err := checkParentPath(e.Path); err != nil {
			return nil, err
		}
		for _, id := range e.Tables {
			if d.roots == nil {
				d.roots = make(map[ulid.ULID]string)
			}
			if _, ok := d.roots[id]; !ok {
				d.roots[id] = e.Path
			}
		}
		out = append(out, e)
	}
	return out, nil
}

func (d *decoder) tablesV2(f *flatbuf.ManifestV2) error {
	var t flatbuf.CompactedSsTableV2
	for i := range f.SstsLength() {
		f.Ssts(&t, i)
		h, err := d.handle(ulidOf(t.Id(nil)), t.Info(nil), t.FormatVersion())
		if err != nil {
			return err
		}
		id := h.ID.ULID()
		if d.tables[id] != nil {
			return contentf("table %s is listed twice", id)
		}
		d.tables[id] = h
	}
	return nil
}

func (d *decoder) handle(id ulid.ULID, info *flatbuf.SsTableInfo, format *uint16) (*sst.Handle, error) {
	h, err := handle(id, info, format)
	if err == nil {
		h.Root = d.roots[id]
	}
	return h, err
}

// handle makes a table handle of its parts.
func handle(id ulid.ULID, info *flatbuf.SsTableInfo, format *uint16) (*sst.Handle, error) {
	h := &sst.Handle{ID: sst.TableID(id), Format: sst.FormatV1}
	if format != nil {
		h.Format = *format
	}
	if h.Format != sst.FormatV1 && h.Format != sst.FormatV2 {
		return nil, contentf("table %s has unknown format %d", id, h.Format)
	}
	var err error
	if h.Info, err = sst.InfoFromTable(info.Table()); err != nil {
		return nil, fmt.Errorf("table %s: %w", id, err)
	}
	return h, nil
}

func (d *decoder) views(n int, at func(*flatbuf.CompactedSsTableView, int) bool) ([]sst.View, error) {
	if n == 0 {
		return nil, nil
	}
	out := make([]sst.View, n)
	var f flatbuf.CompactedSsTableView
	for i := range n {
		at(&f, i)
		v := &out[i]
		v.ID = ulidOf(f.Id(nil))
		table := ulidOf(f.SstId(nil))
		if v.Table = d.tables[table]; v.Table == nil {
			return nil, contentf("view %s names the unknown table %s", v.ID, table)
		}
		var err error
		if v.Visible, err = visibleRange(f.VisibleRange(nil)); err != nil {
			return nil, fmt.Errorf("view %s: %w", v.ID, err)
		}
	}
	return out, nil
}

func (d *decoder) viewsV1(n int, at func(*flatbuf.CompactedSsTable, int) bool) ([]sst.View, error) {
	if n == 0 {
		return nil, nil
	}
	out := make([]sst.View, n)
	var f flatbuf.CompactedSsTable
	for i := range n {
		at(&f, i)
		v := &out[i]
		v.ID = ulidOf(f.Id(nil))
		var err error
		if v.Table = d.tables[v.ID]; v.Table == nil {
			if v.Table, err = d.handle(v.ID, f.Info(nil), f.FormatVersion()); err != nil {
				return nil, err
			}
			d.tables[v.ID] = v.Table
		}
		if v.Visible, err = visibleRange(f.VisibleRange(nil)); err != nil {
			return nil, fmt.Errorf("view %s: %w", v.ID, err)
		}
	}
	return out, nil
}

func (d *decoder) runs(n int, at func(*flatbuf.SortedRunV2, int) bool) ([]sst.SortedRun, error) {
	if n == 0 {
		return nil, nil
	}
	out := make([]sst.SortedRun, n)
	var f flatbuf.SortedRunV2
	for i := range n {
		at(&f, i)
		out[i].ID = f.Id()
		var err error
		if out[i].Views, err = d.views(f.SstsLength(), f.Ssts); err != nil {
			return nil, fmt.Errorf("run %d: %w", out[i].ID, err)
		}
	}
	return out, nil
}

func checkpoints(n int, at func(*flatbuf.Checkpoint, int) bool) []Checkpoint {
	var out []Checkpoint
	var f flatbuf.Checkpoint
	for i := range n {
		at(&f, i)
		c := Checkpoint{
			ID: uuidOf(f.Id(nil)), ManifestID: f.ManifestId(), Name: string(f.Name()),
			CreateTime: time.Unix(int64(f.CheckpointCreateTimeS()), 0).UTC(),
		}
		if s := f.CheckpointExpireTimeS(); s != 0 {
			c.ExpireTime = time.Unix(int64(s), 0).UTC()
		}
		out = append(out, c)
	}
	return out
}

// tracker decodes the tracker of a manifest; slot is its vtable offset. Old objects have none.
func tracker(t flatbuffers.Table, b []byte, slot flatbuffers.VOffsetT) (Tracker, error) {
	if t.Offset(slot) == 0 {
		return Tracker{}, nil
	}
	return DecodeTracker(b)
}

func visibleRange(f *flatbuf.BytesRange) (*kv.Range, error) {
	if f == nil {
		return nil, nil
	}
	r, err := keyRange(f)
	return &r, err
}

// keyRange converts a range. Only an unbounded end comes without a key.
func keyRange(f *flatbuf.BytesRange) (kv.Range, error) {
	var r kv.Range
	start, end := f.StartBound(nil), f.EndBound(nil)
	var err error
	if r.Start, err = boundKey(start); err != nil {
		return r, fmt.Errorf("start: %w", err)
	}
	if r.End, err = boundKey(end); err != nil {
		return r, fmt.Errorf("end: %w", err)
	}
	r.StartExclusive = start.BoundType() == flatbuf.BoundTypeExcluded
	r.EndInclusive = end.BoundType() == flatbuf.BoundTypeIncluded
	return r, nil
}

func boundKey(f *flatbuf.BytesBound) ([]byte, error) {
	table := f.Table()
	hasKey := table.Offset(4) != 0
	switch t := f.BoundType(); {
	case t == flatbuf.BoundTypeUnbounded && !hasKey:
		return nil, nil
	case (t == flatbuf.BoundTypeIncluded || t == flatbuf.BoundTypeExcluded) && hasKey:
		return append([]byte{}, f.KeyBytes()...), nil
	default:
		return nil, contentf("bound of type %d, key present: %t", t, hasKey)
	}
}

func ulidOf(f *flatbuf.Ulid) (id ulid.ULID) {
	if f != nil {
		binary.BigEndian.PutUint64(id[:8], f.High())
		binary.BigEndian.PutUint64(id[8:], f.Low())
	}
	return id
}

func ulids(n int, at func(*flatbuf.Ulid, int) bool) []ulid.ULID {
	if n == 0 {
		return nil
	}
	out := make([]ulid.ULID, n)
	var f flatbuf.Ulid
	for i := range n {
		at(&f, i)
		out[i] = ulidOf(&f)
	}
	return out
}

func uuidOf(f *flatbuf.Uuid) (id uuid.UUID) {
	if f != nil {
		binary.BigEndian.PutUint64(id[:8], f.High())
		binary.BigEndian.PutUint64(id[8:], f.Low())
	}
	return id
}
