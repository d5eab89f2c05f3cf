package manifest

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/sst"
)

// The JSON form is for people and for tools that look at a database: the fields and the
// nesting of the schema, ids as text, keys as text or "hex:...". It is written, never read.

// MarshalJSON returns the readable form.
func (m *Manifest) MarshalJSON() ([]byte, error) {
	j := jsonManifest{
		ID: m.ID, EnvelopeVersion: m.FormatVersion, Initialized: m.Initialized,
		WriterEpoch: m.WriterEpoch, CompactorEpoch: m.CompactorEpoch,
		ReplayAfterWAL: m.ReplayAfterWAL, WALLastSeen: m.WALLastSeen,
		SSTs: mapped(m.tableList(), jsonTableOf), jsonTree: jsonTreeOf(&m.Root),
		LastL0Tick: m.LastL0Tick, Checkpoints: mapped(m.Checkpoints, jsonCheckpointOf),
		LastL0Seq: m.LastL0Seq, SnapshotMinSeq: m.SnapshotMinSeq, Tracker: &m.Tracker,
		Segments: mapped(m.Segments, func(s Segment) jsonSegment {
			return jsonSegment{Prefix: keyText(s.Prefix), jsonTree: jsonTreeOf(&s.Tree)}
		}),
		ExtractorName: m.ExtractorName, WALURI: m.WALObjectStoreURI,
		External: mapped(m.External, func(e ExternalDB) jsonExternal {
			return jsonExternal{e.Path, e.SourceCheckpoint, optionalUUID(e.FinalCheckpoint), mapped(e.Tables, ulid.ULID.String)}
		}),
	}
	return json.Marshal(j)
}

// MarshalJSON returns the readable form.
func (c *Compactions) MarshalJSON() ([]byte, error) {
	return json.Marshal(jsonCompactions{c.ID, c.FormatVersion, c.CompactorEpoch, mapped(c.Jobs, jsonJobOf)})
}

// MarshalJSON returns the pairs of the tracker.
func (t *Tracker) MarshalJSON() ([]byte, error) {
	type point struct {
		Seq  kv.Seq `json:"seq"`
		Unix int64  `json:"unix_secs"`
	}
	return json.Marshal(struct {
		Entries []point `json:"entries"`
	}{mapped(t.points, func(p TrackPoint) point { return point(p) })})
}

type jsonManifest struct {
	ID              uint64         `json:"id"`
	EnvelopeVersion uint16         `json:"envelope_version"`
	Initialized     bool           `json:"initialized"`
	WriterEpoch     uint64         `json:"writer_epoch"`
	CompactorEpoch  uint64         `json:"compactor_epoch"`
	ReplayAfterWAL  uint64         `json:"replay_after_wal_id"`
	WALLastSeen     uint64         `json:"wal_id_last_seen"`
	External        []jsonExternal `json:"external_dbs,omitempty"`
	SSTs            []jsonTable    `json:"ssts"`
	jsonTree
	LastL0Tick     int64            `json:"last_l0_clock_tick"`
	Checkpoints    []jsonCheckpoint `json:"checkpoints"`
	LastL0Seq      kv.Seq           `json:"last_l0_seq"`
	SnapshotMinSeq kv.Seq           `json:"recent_snapshot_min_seq"`
	Tracker        *Tracker         `json:"sequence_tracker"`
	Segments       []jsonSegment    `json:"segments"`
	ExtractorName  string           `json:"segment_extractor_name,omitempty"`
	WALURI         string           `json:"wal_object_store_uri,omitempty"`
}

type jsonTree struct {
	Watermark string     `json:"last_compacted_l0_sst_view_id,omitempty"`
	L0        []jsonView `json:"l0"`
	Runs      []jsonRun  `json:"compacted"`
}

type jsonSegment struct {
	Prefix string `json:"prefix"`
	jsonTree
}

type jsonExternal struct {
	Path   string     `json:"path"`
	Source uuid.UUID  `json:"source_checkpoint_id"`
	Final  *uuid.UUID `json:"final_checkpoint_id,omitempty"`
	Tables []string   `json:"sst_ids"`
}

type jsonTable struct {
	ID     string   `json:"id"`
	Info   jsonInfo `json:"info"`
	Format uint16   `json:"format_version"`
}

type jsonInfo struct {
	First        *string `json:"first_entry,omitempty"`
	IndexOffset  uint64  `json:"index_offset"`
	IndexLen     uint64  `json:"index_len"`
	FilterOffset uint64  `json:"filter_offset"`
	FilterLen    uint64  `json:"filter_len"`
	Codec        string  `json:"compression_format"`
	Type         string  `json:"sst_type"`
	Last         *string `json:"last_entry,omitempty"`
	StatsOffset  uint64  `json:"stats_offset"`
	StatsLen     uint64  `json:"stats_len"`
	FilterFormat string  `json:"filter_format"`
}

type jsonView struct {
	ID      string     `json:"id"`
	Table   string     `json:"sst_id"`
	Visible *jsonRange `json:"visible_range,omitempty"`
}

type jsonRange struct {
	Start jsonBound `json:"start_bound"`
	End   jsonBound `json:"end_bound"`
}

type jsonBound struct {
	Key  *string `json:"key,omitempty"`
	Type string  `json:"bound_type"`
}

type jsonRun struct {
	ID    uint32     `json:"id"`
	Views []jsonView `json:"ssts"`
}

type jsonCheckpoint struct {
	ID         uuid.UUID `json:"id"`
	ManifestID uint64    `json:"manifest_id"`
	Expire     uint32    `json:"checkpoint_expire_time_s"`
	Create     uint32    `json:"checkpoint_create_time_s"`
	Name       string    `json:"name,omitempty"`
}

type jsonCompactions struct {
	ID              uint64    `json:"id"`
	EnvelopeVersion uint16    `json:"envelope_version"`
	CompactorEpoch  uint64    `json:"compactor_epoch"`
	Jobs            []jsonJob `json:"recent_compactions"`
}

type jsonJob struct {
	ID       string       `json:"id"`
	SpecType string       `json:"spec_type"`
	Spec     jsonSpec     `json:"spec"`
	Status   string       `json:"status"`
	Outputs  []jsonTable  `json:"output_ssts"`
	Worker   *jsonWorker  `json:"worker,omitempty"`
	CtxType  string       `json:"ctx_type,omitempty"`
	Context  *jsonContext `json:"ctx,omitempty"`
}

type jsonSpec struct {
	L0Views     []string `json:"l0_view_ids,omitempty"`
	Runs        []uint32 `json:"sorted_runs,omitempty"`
	Segment     string   `json:"segment"`
	Destination uint32   `json:"destination"`
}

type jsonWorker struct {
	ID        string `json:"worker_id"`
	Heartbeat uint64 `json:"last_heartbeat_ms"`
}

type jsonContext struct {
	Ranges          []jsonSubcompaction `json:"subcompactions"`
	RetentionMinSeq kv.Seq              `json:"retention_min_seq"`
}

type jsonSubcompaction struct {
	Range   jsonRange   `json:"range"`
	Outputs []jsonTable `json:"output_ssts"`
	Status  string      `json:"status"`
}

func jsonTreeOf(t *Tree) jsonTree {
	j := jsonTree{L0: mapped(t.L0, jsonViewOf), Runs: mapped(t.Runs, func(r sst.SortedRun) jsonRun {
		return jsonRun{r.ID, mapped(r.Views, jsonViewOf)}
	})}
	if t.LastCompactedL0 != (ulid.ULID{}) {
		j.Watermark = t.LastCompactedL0.String()
	}
	return j
}

func jsonViewOf(v sst.View) jsonView {
	j := jsonView{ID: v.ID.String(), Table: v.Table.ID.String()}
	if v.Visible != nil {
		r := jsonRangeOf(v.Visible)
		j.Visible = &r
	}
	return j
}

func jsonTableOf(h *sst.Handle) jsonTable {
	codecs := [...]string{"None", "Snappy", "Zlib", "Lz4", "Zstd"}
	i := &h.Info
	j := jsonInfo{
		First: optionalKey(i.First), Last: optionalKey(i.Last), IndexOffset: i.IndexOffset, IndexLen: i.IndexLen,
		FilterOffset: i.FilterOffset, FilterLen: i.FilterLen, StatsOffset: i.StatsOffset, StatsLen: i.StatsLen,
		Codec: "unknown", Type: "Compacted", FilterFormat: "Legacy",
	}
	if int(i.Codec) < len(codecs) {
		j.Codec = codecs[i.Codec]
	}
	if i.WAL {
		j.Type = "Wal"
	}
	if i.CompositeFilter {
		j.FilterFormat = "Composite"
	}
	return jsonTable{ID: h.ID.String(), Info: j, Format: h.Format}
}

func jsonRangeOf(r *kv.Range) jsonRange {
	return jsonRange{jsonBoundOf(r.Start, r.StartExclusive), jsonBoundOf(r.End, !r.EndInclusive)}
}

func jsonBoundOf(key []byte, excluded bool) jsonBound {
	switch {
	case key == nil:
		return jsonBound{Type: "Unbounded"}
	case excluded:
		return jsonBound{optionalKey(key), "Excluded"}
	}
	return jsonBound{optionalKey(key), "Included"}
}

func jsonCheckpointOf(c Checkpoint) jsonCheckpoint {
	j := jsonCheckpoint{ID: c.ID, ManifestID: c.ManifestID, Create: seconds(c.CreateTime), Name: c.Name}
	if !c.ExpireTime.IsZero() {
		j.Expire = seconds(c.ExpireTime)
	}
	return j
}

func jsonJobOf(j Compaction) jsonJob {
	out := jsonJob{
		ID: j.ID.String(), SpecType: "TieredCompactionSpec", Status: j.Status.String(), Outputs: mapped(j.Outputs, jsonTableOf),
		Spec: jsonSpec{mapped(j.Spec.L0Views, ulid.ULID.String), j.Spec.Runs, keyText(j.Spec.Segment), j.Spec.Destination},
	}
	if j.Spec.Drain {
		out.SpecType = "DrainSegmentSpec"
	}
	if j.Worker != nil {
		out.Worker = &jsonWorker{j.Worker.ID, j.Worker.HeartbeatMillis}
	}
	if j.Context != nil {
		out.CtxType = "TieredCompactionContext"
		out.Context = &jsonContext{RetentionMinSeq: j.Context.RetentionMinSeq}
		out.Context.Ranges = mapped(j.Context.Ranges, func(s Subcompaction) jsonSubcompaction {
			status := "InProgress"
			if s.Done {
				status = "Completed"
			}
			return jsonSubcompaction{jsonRangeOf(&s.Range), mapped(s.Outputs, jsonTableOf), status}
		})
	}
	return out
}

// mapped applies f to every element. The result is never nil: JSON shows [] rather than null.
func mapped[T, U any](in []T, f func(T) U) []U {
	out := make([]U, len(in))
	for i := range in {
		out[i] = f(in[i])
	}
	return out
}

func optionalUUID(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

func optionalKey(k []byte) *string {
	if k == nil {
		return nil
	}
	s := keyText(k)
	return &s
}

// keyText shows a key as it is when it is printable, else in hex.
func keyText(k []byte) string {
	s := string(k)
	hidden := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0
	if !utf8.Valid(k) || hidden || strings.HasPrefix(s, "hex:") {
		return "hex:" + hex.EncodeToString(k)
	}
	return s
}
