package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/sst"
)

// printManifest prints a manifest for people.
func printManifest(out io.Writer, m *manifest.Manifest) error {
	w := newTable(out)
	w.row("manifest", m.ID)
	if !m.Initialized {
		w.row("initialized", "no: a clone that was not finished")
	}
	w.row("writer epoch", m.WriterEpoch)
	w.row("compactor epoch", m.CompactorEpoch)
	w.row("log", fmt.Sprintf("tables hold everything up to object %d, last seen %d", m.ReplayAfterWAL, m.WALLastSeen))
	w.row("tables end", fmt.Sprintf("seq %d, %s; oldest snapshot seq %d", m.LastL0Seq, stamp(m.LastL0Tick), m.SnapshotMinSeq))
	if m.ExtractorName != "" {
		w.row("segments by", m.ExtractorName)
	}
	w.row("seq to time", plural(m.Tracker.Len(), "point"))
	if err := w.flush(); err != nil {
		return err
	}
	w = newTable(out, "TREE", "LEVEL", "VIEW", "TABLE", "BYTES", "FIRST", "LAST")
	n := 0
	for prefix, t := range m.Trees() {
		name := "-"
		if prefix != nil {
			name = showKey(prefix)
		}
		for i := range t.L0 {
			w.row(viewCells(name, "L0", &t.L0[i])...)
			n++
		}
		for i := range t.Runs {
			for j := range t.Runs[i].Views {
				w.row(viewCells(name, fmt.Sprintf("run %d", t.Runs[i].ID), &t.Runs[i].Views[j])...)
				n++
			}
			if len(t.Runs[i].Views) == 0 {
				w.row(name, fmt.Sprintf("run %d", t.Runs[i].ID), "(no views)", "", "", "", "")
				n++
			}
		}
	}
	if n > 0 {
		fmt.Fprintln(out)
		if err := w.flush(); err != nil {
			return err
		}
	}
	if len(m.Checkpoints) > 0 {
		fmt.Fprintln(out)
		if err := printCheckpoints(out, m.Checkpoints, time.Now()); err != nil {
			return err
		}
	}
	if len(m.External) > 0 {
		fmt.Fprintln(out)
		w = newTable(out, "PARENT", "TABLES", "CHECKPOINT THERE", "MADE FROM")
		for _, e := range m.External {
			w.row(e.Path, len(e.Tables), e.FinalCheckpoint, e.SourceCheckpoint)
		}
		return w.flush()
	}
	return nil
}

func viewCells(tree, level string, v *sst.View) []any {
	first, last := viewRange(v)
	table := v.Table.ID.String()
	if v.Table.Root != "" {
		table += " of " + v.Table.Root
	}
	view := v.ID.String()
	if v.ID == v.Table.ID.ULID() {
		view = "="
	}
	return []any{tree, level, view, table, v.Table.Info.EstimatedSize(), first, last}
}

// viewRange shows the keys that a view may have.
func viewRange(v *sst.View) (first, last string) {
	r := kv.Range{Start: v.Table.Info.First, End: v.Table.Info.Last, EndInclusive: true}
	if v.Visible != nil {
		r = r.Intersect(*v.Visible)
	}
	first, last = showKey(r.Start), "(open)"
	if r.StartExclusive {
		first = "above " + first
	}
	if r.End != nil {
		last = showKey(r.End)
		if !r.EndInclusive {
			last = "below " + last
		}
	}
	return first, last
}

// printJob prints the only job of c as JSON.
func printJob(out io.Writer, c *manifest.Compactions) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	var doc struct {
		Jobs []json.RawMessage `json:"recent_compactions"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return err
	}
	return printJSON(out, doc.Jobs[0])
}

// checkpointJSON is how JSON shows a checkpoint.
type checkpointJSON struct {
	ID         string     `json:"id"`
	Name       string     `json:"name,omitempty"`
	ManifestID uint64     `json:"manifest_id"`
	CreateTime *time.Time `json:"create_time,omitempty"`
	ExpireTime *time.Time `json:"expire_time,omitempty"`
}

func checkpointOf(c *manifest.Checkpoint) checkpointJSON {
	return checkpointJSON{c.ID.String(), c.Name, c.ManifestID, timePtr(c.CreateTime), timePtr(c.ExpireTime)}
}

func printCheckpoints(out io.Writer, cs []manifest.Checkpoint, now time.Time) error {
	w := newTable(out, "CHECKPOINT", "MANIFEST", "CREATED", "EXPIRES", "", "NAME")
	for i := range cs {
		c := &cs[i]
		w.row(c.ID, c.ManifestID, timeText(c.CreateTime), timeText(c.ExpireTime), lifeText(c.ExpireTime, now), c.Name)
	}
	return w.flush()
}
