package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/sst"
)

var manifestDiffCommand = &command{
	name: "manifest diff", args: "LOCATION A B", nargs: 3, group: groupLook,
	brief: "what changed between two versions of the manifest",
	help: `
Prints what differs between versions A and B of the manifest: + is only in B, - is only in A, ~ changed.
"latest" names the newest version.

example:
  slatedb manifest diff ./orders 17 latest`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		asJSON := jsonFlag(fs)
		return func(ctx context.Context, io *streams, args []string) error {
			var ids [2]uint64
			for i, what := range []string{"A", "B"} {
				if args[i+1] == "latest" {
					continue
				}
				n, err := number(what, args[i+1])
				if err != nil {
					return err
				}
				if ids[i] = n; n == 0 {
					return usagef("%s is 0; versions begin with 1", what)
				}
			}
			return withAdmin(args[0], func(a *slatedb.Admin) error {
				from, err := a.ReadManifest(ctx, ids[0])
				if err != nil {
					return err
				}
				to, err := a.ReadManifest(ctx, ids[1])
				if err != nil {
					return err
				}
				d := manifestDiff{From: from.ID, To: to.ID, Changes: diffManifests(from, to)}
				if *asJSON {
					return printJSON(io.out, d)
				}
				return d.print(io.out)
			})
		}
	},
}

// manifestDiff is what the command prints; the JSON names are its interface.
type manifestDiff struct {
	From    uint64   `json:"from"`
	To      uint64   `json:"to"`
	Changes []change `json:"changes"`
}

// A change is one difference. Op is "added", "removed" or "changed".
type change struct {
	Op   string `json:"op"`
	What string `json:"what"`
	Was  string `json:"was,omitempty"`
	Is   string `json:"is,omitempty"`
}

func (d *manifestDiff) print(out io.Writer) error {
	t := newTable(out)
	for _, c := range d.Changes {
		switch c.Op {
		case "added":
			t.row("+", c.What, c.Is)
		case "removed":
			t.row("-", c.What, c.Was)
		default:
			t.row("~", c.What, c.Was+" -> "+c.Is)
		}
	}
	if len(d.Changes) == 0 {
		t.row("no difference")
	}
	return t.flush()
}

// diffManifests lists what differs, in the order in which a manifest is printed.
func diffManifests(a, b *manifest.Manifest) []change {
	out := []change{}
	for _, f := range []struct {
		name    string
		was, is any
	}{
		{"initialized", a.Initialized, b.Initialized},
		{"writer_epoch", a.WriterEpoch, b.WriterEpoch},
		{"compactor_epoch", a.CompactorEpoch, b.CompactorEpoch},
		{"replay_after_wal_id", a.ReplayAfterWAL, b.ReplayAfterWAL},
		{"wal_id_last_seen", a.WALLastSeen, b.WALLastSeen},
		{"last_l0_seq", a.LastL0Seq, b.LastL0Seq},
		{"last_l0_clock_tick", a.LastL0Tick, b.LastL0Tick},
		{"recent_snapshot_min_seq", a.SnapshotMinSeq, b.SnapshotMinSeq},
		{"sequence_tracker points", a.Tracker.Len(), b.Tracker.Len()},
		{"segment_extractor_name", a.ExtractorName, b.ExtractorName},
		{"wal_object_store_uri", a.WALObjectStoreURI, b.WALObjectStoreURI},
	} {
		if f.was != f.is {
			out = append(out, change{"changed", f.name, fmt.Sprint(f.was), fmt.Sprint(f.is)})
		}
	}
	out = append(out, diffNamed(treeParts(a), treeParts(b))...)
	out = append(out, diffNamed(checkpointParts(a), checkpointParts(b))...)
	return append(out, diffNamed(parentParts(a), parentParts(b))...)
}

// A part is something in a manifest that has a name, and how it looks.
type part struct{ name, text string }

// diffNamed compares two lists of parts by name, removed ones first.
func diffNamed(a, b []part) (out []change) {
	was, is := map[string]string{}, map[string]string{}
	for _, p := range a {
		was[p.name] = p.text
	}
	for _, p := range b {
		is[p.name] = p.text
	}
	for _, p := range a {
		if _, ok := is[p.name]; !ok {
			out = append(out, change{"removed", p.name, p.text, ""})
		}
	}
	for _, p := range b {
		switch text, ok := was[p.name]; {
		case !ok:
			out = append(out, change{"added", p.name, "", p.text})
		case text != p.text:
			out = append(out, change{"changed", p.name, text, p.text})
		}
	}
	return out
}

func treeParts(m *manifest.Manifest) (out []part) {
	for prefix, t := range m.Trees() {
		in := ""
		if prefix != nil {
			in = "segment " + showKey(prefix) + " "
			out = append(out, part{"segment " + showKey(prefix), fmt.Sprintf("%s in L0, %s", plural(len(t.L0), "view"), plural(len(t.Runs), "run"))})
		}
		for i := range t.L0 {
			out = append(out, viewPart(in+"L0 view ", &t.L0[i]))
		}
		for i := range t.Runs {
			r := &t.Runs[i]
			if len(r.Views) == 0 {
				out = append(out, part{fmt.Sprintf("%srun %d", in, r.ID), "no views"})
			}
			for j := range r.Views {
				out = append(out, viewPart(fmt.Sprintf("%srun %d view ", in, r.ID), &r.Views[j]))
			}
		}
		var none [16]byte
		if t.LastCompactedL0 != none {
			out = append(out, part{in + "L0 watermark", t.LastCompactedL0.String()})
		}
	}
	return out
}

func viewPart(name string, v *sst.View) part {
	first, last := viewRange(v)
	return part{name + v.ID.String(), fmt.Sprintf("table %s, %d bytes, %s to %s", v.Table.ID, v.Table.Info.EstimatedSize(), first, last)}
}

func checkpointParts(m *manifest.Manifest) (out []part) {
	for _, c := range m.Checkpoints {
		text := fmt.Sprintf("manifest %d, expires %s", c.ManifestID, timeText(c.ExpireTime))
		if c.ExpireTime.IsZero() {
			text = fmt.Sprintf("manifest %d, never expires", c.ManifestID)
		}
		if c.Name != "" {
			text += ", " + c.Name
		}
		out = append(out, part{"checkpoint " + c.ID.String(), text})
	}
	return out
}

func parentParts(m *manifest.Manifest) (out []part) {
	for _, e := range m.External {
		out = append(out, part{"parent " + e.Path + " at " + e.SourceCheckpoint.String(),
			fmt.Sprintf("%s, checkpoint %s there", plural(len(e.Tables), "table"), e.FinalCheckpoint)})
	}
	return out
}
