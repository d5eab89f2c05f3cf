package main

import (
	"context"
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
	"github.com/slatedb/slatedb-go/objstore/metered"
	"github.com/slatedb/slatedb-go/objstore/prices"
)

var statsCommand = &command{
	name: "stats", args: "LOCATION", nargs: 1, group: groupLook,
	brief: "what the database consists of",
	help: `
Prints what the newest manifest says (trees with their L0 tables, sorted runs and sizes, checkpoints and when
they expire, parents of a clone), what of the write-ahead log the next open has to replay, and what lies in
the store, by kind. It reads one manifest and lists
the objects; it opens no table and takes nothing from a running writer.

example:
  slatedb stats file:///data/orders
  slatedb stats --json ./orders`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		asJSON := fs.Bool("json", false, "print one JSON object")
		table := fs.String("prices", "", "price `table` for the cost: "+strings.Join(prices.Names(), ", ")+"; by default the provider's")
		return func(ctx context.Context, io *streams, args []string) error {
			s, err := collectStats(ctx, args[0], *table)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(io.out, s)
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
		// ToReplayBytes are what an open has to read before it can write.
		ToReplayBytes int64 `json:"to_replay_bytes"`
	} `json:"wal"`
	Trees       []treeStats       `json:"trees"`
	Checkpoints []checkpointStats `json:"checkpoints"`
	Parents     []parentStats     `json:"parents"`
	Objects     []objectStats     `json:"objects"`
	Requests    struct {
		Get   int64 `json:"get"`
		Head  int64 `json:"head"`
		List  int64 `json:"list"`
		Bytes int64 `json:"bytes"`
	} `json:"requests"`
	// Cost is absent where nothing is charged or nothing is known.
	Cost *costStats `json:"cost,omitempty"`

	walSpan struct {
		first, last time.Time
		objects     int
		bytes       int64
	}
}

// costStats are US dollars by a price table.
type costStats struct {
	Prices string `json:"prices"` // name of the table
	Date   string `json:"date"`   // when it was written down
	// StorageMonth is for keeping all objects, what waits for the collector included.
	StorageMonth float64 `json:"storage_usd_month"`
	// WALMonth is for the log's PUTs, at the pace at which the objects that are there were
	// written; 0 with fewer than two of them.
	WALMonth float64 `json:"wal_puts_usd_month"`
	// ThisCommand is for the requests of this look.
	ThisCommand float64 `json:"this_command_usd"`
}

// treeStats is one tree: the whole database, or one segment of it.
type treeStats struct {
	Segment    string     `json:"segment"` // "" is the tree of a database without segments
	levelStats            // of all levels together
	L0         levelStats `json:"l0"`
	Runs       []runStats `json:"runs"`
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
	checkpointJSON
	Expired bool `json:"expired"`
}

// parentStats is a database that this one borrows tables from.
type parentStats struct {
	Path       string `json:"path"`
	Tables     int    `json:"tables"`
	Checkpoint string `json:"checkpoint"`
}

// objectStats are the objects of one folder of the database.
type objectStats struct {
	Kind    string `json:"kind"`
	Objects int    `json:"objects"`
	Bytes   int64  `json:"bytes"`
}

func collectStats(ctx context.Context, location, table string) (*statsReport, error) {
	store, root, err := objstore.Resolve(ctx, location)
	if err != nil {
		return nil, err
	}
	if table == "" {
		table = store.Properties().Prices
	} else if _, known := prices.For(table); !known {
		return nil, usagef("there is no price table %q; want %s", table, strings.Join(prices.Names(), ", "))
	}
	counted := &countingStore{Store: store}
	s := &statsReport{Location: shown(location), Checkpoints: []checkpointStats{}, Objects: []objectStats{}, Parents: []parentStats{}}
	m, err := manifest.NewStore(counted, root, seam.New(seam.Env{})).Latest(ctx)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", shown(location), err)
	}
	s.addManifest(m)
	if err := s.addObjects(ctx, counted, root); err != nil {
		return nil, fmt.Errorf("list %s: %w", shown(location), err)
	}
	s.Requests.Get, s.Requests.Head, s.Requests.List = counted.gets.Load(), counted.heads.Load(), counted.lists.Load()
	s.Requests.Bytes = counted.bytes.Load()
	s.addCost(table)
	return s, nil
}

func (s *statsReport) addCost(table string) {
	t, ok := prices.For(table)
	if !ok {
		return
	}
	c := &costStats{Prices: t.Name, Date: prices.Date}
	for _, o := range s.Objects {
		c.StorageMonth += t.Storage(o.Bytes)
	}
	if span := s.walSpan.last.Sub(s.walSpan.first); s.walSpan.objects > 1 && span > 0 {
		rows := []metered.Row{{Method: "put", Requests: int64(s.walSpan.objects - 1), BytesOut: s.walSpan.bytes}}
		e := t.Estimate(rows, span)
		c.WALMonth = e.Requests + e.Transfer
	}
	c.ThisCommand = t.Cost([]metered.Row{
		{Method: "get", Requests: s.Requests.Get, BytesIn: s.Requests.Bytes}, {Method: "head", Requests: s.Requests.Head},
		{Method: "list", Requests: s.Requests.List},
	}).Requests
	s.Cost = c
}

func (s *statsReport) addManifest(m *manifest.Manifest) {
	s.Manifest.ID, s.Manifest.WriterEpoch, s.Manifest.CompactorEpoch = m.ID, m.WriterEpoch, m.CompactorEpoch
	s.Manifest.LastL0Seq = uint64(m.LastL0Seq)
	s.WAL.ReplayAfter = m.ReplayAfterWAL
	s.addTree("", &m.Root)
	for i := range m.Segments {
		s.addTree(showKey(m.Segments[i].Prefix), &m.Segments[i].Tree)
	}
	for i := range m.Checkpoints {
		c := &m.Checkpoints[i]
		s.Checkpoints = append(s.Checkpoints, checkpointStats{checkpointOf(c), c.Expired(time.Now())})
	}
	for _, e := range m.External {
		s.Parents = append(s.Parents, parentStats{e.Path, len(e.Tables), e.FinalCheckpoint.String()})
	}
}

func (s *statsReport) addTree(name string, t *manifest.Tree) {
	ts := treeStats{Segment: name, Runs: []runStats{}}
	for v := range t.Views() {
		ts.add(v.Table.Info.EstimatedSize())
	}
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
			s.addWAL(name, a)
		}
	}
	return nil
}

// addWAL notes the id of one log object; "00000000000000000007.sst" is 7.
func (s *statsReport) addWAL(name string, a objstore.Attributes) {
	size := a.Size
	digits, ok := strings.CutSuffix(name, ".sst")
	id, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil {
		return
	}
	w := &s.walSpan
	w.objects++
	w.bytes += size
	if w.first.IsZero() || a.Modified.Before(w.first) {
		w.first = a.Modified
	}
	if a.Modified.After(w.last) {
		w.last = a.Modified
	}
	if s.WAL.First == 0 || id < s.WAL.First {
		s.WAL.First = id
	}
	s.WAL.Last = max(s.WAL.Last, id)
	if id > s.WAL.ReplayAfter {
		s.WAL.ToReplay++
		s.WAL.ToReplayBytes += size
	}
}

func (s *statsReport) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "manifest\tid %d, writer epoch %d, compactor epoch %d, last seq in tables %d\n",
		s.Manifest.ID, s.Manifest.WriterEpoch, s.Manifest.CompactorEpoch, s.Manifest.LastL0Seq)
	if s.WAL.Last == 0 {
		fmt.Fprintf(w, "wal\tno objects, tables hold everything up to %d\n", s.WAL.ReplayAfter)
	} else {
		fmt.Fprintf(w, "wal\tobjects %d to %d, tables hold everything up to %d, %d to replay (%s)\n",
			s.WAL.First, s.WAL.Last, s.WAL.ReplayAfter, s.WAL.ToReplay, bytesText(s.WAL.ToReplayBytes))
	}
	for _, t := range s.Trees {
		name := "tree"
		if t.Segment != "" {
			name = "segment " + t.Segment
		}
		fmt.Fprintf(w, "%s\t%s, %s\n", name, plural(t.Tables, "table"), bytesText(int64(t.Bytes)))
		fmt.Fprintf(w, "  L0\t%s, %s\n", plural(t.L0.Tables, "table"), bytesText(int64(t.L0.Bytes)))
		for _, r := range t.Runs {
			fmt.Fprintf(w, "  run %d\t%s, %s\n", r.ID, plural(r.Tables, "table"), bytesText(int64(r.Bytes)))
		}
	}
	fmt.Fprintf(w, "checkpoints\t%d\n", len(s.Checkpoints))
	for _, c := range s.Checkpoints {
		until := time.Time{}
		if c.ExpireTime != nil {
			until = *c.ExpireTime
		}
		fmt.Fprintf(w, "  %s\tmanifest %d, %s  %s\n", c.ID, c.ManifestID, lifeText(until, time.Now()), c.Name)
	}
	for _, p := range s.Parents {
		fmt.Fprintf(w, "parent %s\t%s, checkpoint %s there\n", p.Path, plural(p.Tables, "table"), p.Checkpoint)
	}
	for _, o := range s.Objects {
		fmt.Fprintf(w, "objects %s\t%d, %s\n", o.Kind, o.Objects, bytesText(o.Bytes))
	}
	fmt.Fprintf(w, "requests\tget %d, head %d, list %d, %s read\n",
		s.Requests.Get, s.Requests.Head, s.Requests.List, bytesText(s.Requests.Bytes))
	if c := s.Cost; c != nil {
		fmt.Fprintf(w, "cost\t$%.2f a month to keep, $%.2f a month for log writes at their pace; prices of %s, %s\n",
			c.StorageMonth, c.WALMonth, c.Prices, c.Date)
	}
	return w.Flush()
}
