package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
)

var statsCommand = &command{
	name: "stats", args: "LOCATION", nargs: 1,
	brief: "what the database consists of",
	help: `
Prints what the newest manifest says (trees, L0 tables, sorted runs, checkpoints, the position in
the write-ahead log) and what lies in the store, by kind, with sizes. It reads one manifest and lists
the objects; it opens no table and takes nothing from a running writer.

example:
  slatedb stats file:///data/orders
  slatedb stats --json ./orders`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		asJSON := fs.Bool("json", false, "print one JSON object")
		return func(ctx context.Context, io *streams, args []string) error {
			s, err := collectStats(ctx, args[0])
			if err != nil {
				return err
			}
			if *asJSON {
				enc := json.NewEncoder(io.out)
				enc.SetIndent("", "  ")
				return enc.Encode(s)
			}
			return s.print(io.out)
		}
	},
}

// statsReport is what the command prints; the JSON names are its interface.
type statsReport struct {
	Location string `json:"location"`
	Manifest struct {
		ID             uint64 `json:"id"`
		WriterEpoch    uint64 `json:"writer_epoch"`
		CompactorEpoch uint64 `json:"compactor_epoch"`
		LastL0Seq      uint64 `json:"last_l0_seq"`
	} `json:"manifest"`
	WAL struct {
		// ReplayAfter is the newest object whose rows are all in tables.
		ReplayAfter uint64 `json:"replay_after"`
		// First and Last are the ids in the store; 0 = none.
		First    uint64 `json:"first"`
		Last     uint64 `json:"last"`
		ToReplay int    `json:"to_replay"`
	} `json:"wal"`
	Trees       []treeStats       `json:"trees"`
	Checkpoints []checkpointStats `json:"checkpoints"`
	Objects     []objectStats     `json:"objects"`
	Requests    struct {
		Get   int64 `json:"get"`
		Head  int64 `json:"head"`
		List  int64 `json:"list"`
		Bytes int64 `json:"bytes"`
	} `json:"requests"`
}

// treeStats is one tree: the whole database, or one segment of it.
type treeStats struct {
	Segment string     `json:"segment"` // "" is the tree of a database without segments
	L0      levelStats `json:"l0"`
	Runs    []runStats `json:"runs"`
}

type levelStats struct {
	Tables int    `json:"tables"`
	Bytes  uint64 `json:"bytes"`
}

type runStats struct {
	ID uint32 `json:"id"`
	levelStats
}

type checkpointStats struct {
	ID         string     `json:"id"`
	Name       string     `json:"name,omitempty"`
	ManifestID uint64     `json:"manifest_id"`
	ExpireTime *time.Time `json:"expire_time,omitempty"`
}

// objectStats are the objects of one folder of the database.
type objectStats struct {
	Kind    string `json:"kind"`
	Objects int    `json:"objects"`
	Bytes   int64  `json:"bytes"`
}

func collectStats(ctx context.Context, location string) (*statsReport, error) {
	store, root, err := objstore.Resolve(ctx, location)
	if err != nil {
		return nil, err
	}
	counted := &countingStore{Store: store}
	s := &statsReport{Location: location, Checkpoints: []checkpointStats{}, Objects: []objectStats{}}
	m, err := manifest.NewStore(counted, root, seam.New(seam.Env{})).Latest(ctx)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", location, err)
	}
	s.addManifest(m)
	if err := s.addObjects(ctx, counted, root); err != nil {
		return nil, fmt.Errorf("list %s: %w", location, err)
	}
	s.Requests.Get, s.Requests.Head, s.Requests.List = counted.gets.Load(), counted.heads.Load(), counted.lists.Load()
	s.Requests.Bytes = counted.bytes.Load()
	return s, nil
}

func (s *statsReport) addManifest(m *manifest.Manifest) {
	s.Manifest.ID, s.Manifest.WriterEpoch, s.Manifest.CompactorEpoch = m.ID, m.WriterEpoch, m.CompactorEpoch
	s.Manifest.LastL0Seq = uint64(m.LastL0Seq)
	s.WAL.ReplayAfter = m.ReplayAfterWAL
	s.addTree("", &m.Root)
	for i := range m.Segments {
		s.addTree(showKey(m.Segments[i].Prefix), &m.Segments[i].Tree)
	}
	for _, c := range m.Checkpoints {
		cs := checkpointStats{ID: c.ID.String(), Name: c.Name, ManifestID: c.ManifestID}
		if !c.ExpireTime.IsZero() {
			t := c.ExpireTime.UTC()
			cs.ExpireTime = &t
		}
		s.Checkpoints = append(s.Checkpoints, cs)
	}
}

func (s *statsReport) addTree(name string, t *manifest.Tree) {
	ts := treeStats{Segment: name, Runs: []runStats{}}
	for i := range t.L0 {
		ts.L0.add(t.L0[i].Table.Info.EstimatedSize())
	}
	for i := range t.Runs {
		r := runStats{ID: t.Runs[i].ID}
		for j := range t.Runs[i].Views {
			r.add(t.Runs[i].Views[j].Table.Info.EstimatedSize())
		}
		ts.Runs = append(ts.Runs, r)
	}
	s.Trees = append(s.Trees, ts)
}

func (l *levelStats) add(bytes uint64) { l.Tables++; l.Bytes += bytes }

// addObjects lists the whole database and counts by folder.
func (s *statsReport) addObjects(ctx context.Context, store objstore.Store, root string) error {
	prefix := ""
	if root != "" {
		prefix = root + "/"
	}
	byKind := map[string]int{}
	for a, err := range store.List(ctx, prefix, "") {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(a.Key, prefix)
		kind, name := path.Split(rel)
		kind = strings.TrimSuffix(kind, "/")
		if kind == "" {
			kind = "other"
		}
		i, ok := byKind[kind]
		if !ok {
			i = len(s.Objects)
			byKind[kind] = i
			s.Objects = append(s.Objects, objectStats{Kind: kind})
		}
		s.Objects[i].Objects++
		s.Objects[i].Bytes += a.Size
		if kind == "wal" {
			s.addWAL(name)
		}
	}
	return nil
}

// addWAL notes the id of one log object; "00000000000000000007.sst" is 7.
func (s *statsReport) addWAL(name string) {
	digits, ok := strings.CutSuffix(name, ".sst")
	id, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil {
		return
	}
	if s.WAL.First == 0 || id < s.WAL.First {
		s.WAL.First = id
	}
	s.WAL.Last = max(s.WAL.Last, id)
	if id > s.WAL.ReplayAfter {
		s.WAL.ToReplay++
	}
}

func (s *statsReport) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "manifest\tid %d, writer epoch %d, compactor epoch %d, last seq in tables %d\n",
		s.Manifest.ID, s.Manifest.WriterEpoch, s.Manifest.CompactorEpoch, s.Manifest.LastL0Seq)
	if s.WAL.Last == 0 {
		fmt.Fprintf(w, "wal\tno objects, tables hold everything up to %d\n", s.WAL.ReplayAfter)
	} else {
		fmt.Fprintf(w, "wal\tobjects %d to %d, tables hold everything up to %d, %d to replay\n",
			s.WAL.First, s.WAL.Last, s.WAL.ReplayAfter, s.WAL.ToReplay)
	}
	for _, t := range s.Trees {
		name := "tree"
		if t.Segment != "" {
			name = "segment " + t.Segment
		}
		fmt.Fprintf(w, "%s\tL0: %s, %s; %s\n", name, plural(t.L0.Tables, "table"), bytesText(int64(t.L0.Bytes)),
			plural(len(t.Runs), "sorted run"))
		for _, r := range t.Runs {
			fmt.Fprintf(w, "  run %d\t%s, %s\n", r.ID, plural(r.Tables, "table"), bytesText(int64(r.Bytes)))
		}
	}
	fmt.Fprintf(w, "checkpoints\t%d\n", len(s.Checkpoints))
	for _, c := range s.Checkpoints {
		until := "never expires"
		if c.ExpireTime != nil {
			until = "expires " + c.ExpireTime.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "  %s\tmanifest %d, %s %s\n", c.ID, c.ManifestID, until, c.Name)
	}
	for _, o := range s.Objects {
		fmt.Fprintf(w, "objects %s\t%d, %s\n", o.Kind, o.Objects, bytesText(o.Bytes))
	}
	fmt.Fprintf(w, "requests\tget %d, head %d, list %d, %s read\n",
		s.Requests.Get, s.Requests.Head, s.Requests.List, bytesText(s.Requests.Bytes))
	return w.Flush()
}
