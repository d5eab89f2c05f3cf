package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

var sstDumpCommand = &command{
	name: "sst dump", args: "LOCATION TABLE", nargs: 2, group: groupLook,
	brief: "what is in one table",
	help: `
Prints a compacted table: its metadata, then its rows as they are stored (every version, tombstones and
merge operands included). TABLE is its ULID; a table that a clone borrows is found in its parent.
With --json the first line describes the table and each further line is a row.

example:
  slatedb sst dump ./orders 01J9Z5Y6C3W6M1V8R7Q0K2N4PB
  slatedb sst dump --info --blocks ./orders 01J9Z5Y6C3W6M1V8R7Q0K2N4PB`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		d := dumpFlags(fs)
		blocks := fs.Bool("blocks", false, "also list the blocks: offset, length, index key")
		return func(ctx context.Context, io *streams, args []string) error {
			id, err := parseTableID(strings.TrimSuffix(args[1], ".sst"))
			if err != nil {
				return usagef("TABLE %q is no ULID: %v", args[1], err)
			}
			store, root, err := openStore(ctx, args[0])
			if err != nil {
				return err
			}
			key, body, err := findTable(ctx, store, root, sst.TableID(id))
			if err != nil {
				return err
			}
			o, err := sst.OpenObject(key, body, nil)
			if err != nil {
				return err
			}
			info, err := describeTable(o, key, body, *blocks)
			if err != nil {
				return err
			}
			out := bufio.NewWriterSize(io.out, 64<<10)
			if d.json {
				err = jsonLine(out, info)
			} else {
				err = info.print(out)
			}
			if err == nil && !d.info {
				err = d.rows(out, o)
			}
			return errors.Join(err, out.Flush())
		}
	},
}

// dump is what both dumps can be told.
type dump struct {
	json, keys, hex, info bool
	limit                 int
}

func dumpFlags(fs *flag.FlagSet) *dump {
	d := &dump{}
	fs.BoolVar(&d.json, "json", false, "print JSON lines, for programs")
	fs.BoolVar(&d.keys, "keys", false, "leave the values out")
	fs.BoolVar(&d.hex, "hex", false, "print values as hex")
	fs.BoolVar(&d.info, "info", false, "leave the rows out")
	fs.IntVar(&d.limit, "limit", 0, "at most `N` rows of an object; 0 is all")
	return d
}

// rows prints the rows of an object. Those before a damaged block are printed too.
func (d *dump) rows(out io.Writer, o *sst.Object) error {
	p := &rowPrinter{out: out, json: d.json, keys: d.keys, hex: d.hex, left: d.limit}
	if d.limit <= 0 {
		p.left = -1
	}
	it := o.Rows()
	for it.Next() {
		if more, err := p.print(it.Entry()); err != nil {
			return err
		} else if !more {
			break
		}
	}
	return errors.Join(p.flush(), it.Err())
}

// findTable reads a table of the database, or of the parent that it belongs to.
func findTable(ctx context.Context, store objstore.Store, root string, id sst.ID) (string, []byte, error) {
	key := id.Object(root)
	o, err := store.Get(ctx, key)
	if !errors.Is(err, objstore.ErrNotFound) {
		return key, o.Body, err
	}
	m, err := manifest.NewStore(store, root, seam.New(seam.Env{})).Latest(ctx)
	if err != nil {
		return "", nil, err
	}
	h := m.Tables()[id.ULID()]
	if h == nil || h.Root == "" {
		return "", nil, fmt.Errorf("no such table: %s", key)
	}
	key = id.Object(h.Root)
	o, err = store.Get(ctx, key)
	return key, o.Body, err
}

// tableInfo describes a table; the JSON names are the command's interface.
type tableInfo struct {
	Object      string       `json:"object"`
	Bytes       int          `json:"bytes"`
	Format      uint16       `json:"format"`
	Compression string       `json:"compression"`
	First       string       `json:"first_key"`
	Last        *string      `json:"last_key,omitempty"`
	Blocks      int          `json:"blocks"`
	Index       section      `json:"index"`
	Filters     []filterInfo `json:"filters"`
	Filter      *section     `json:"filter_section,omitempty"`
	Stats       *tableStats  `json:"stats,omitempty"`
	BlockList   []blockInfo  `json:"block_list,omitempty"`
}

type section struct {
	Offset uint64 `json:"offset"`
	Bytes  uint64 `json:"bytes"`
}

type filterInfo struct {
	Name  string `json:"name"`
	Bytes int    `json:"bytes"`
}

type tableStats struct {
	Puts       uint64 `json:"puts"`
	Deletes    uint64 `json:"deletes"`
	Merges     uint64 `json:"merges"`
	KeyBytes   uint64 `json:"key_bytes"`
	ValueBytes uint64 `json:"value_bytes"`
}

type blockInfo struct {
	Offset uint64 `json:"offset"`
	Bytes  uint64 `json:"bytes"`
	Key    string `json:"index_key"`
}

func describeTable(o *sst.Object, key string, body []byte, blocks bool) (*tableInfo, error) {
	i := o.Info()
	t := &tableInfo{
		Object: key, Bytes: len(body), Format: o.Format(), Compression: i.Codec.String(), First: showKey(i.First),
		Blocks: o.Index().Len(), Index: section{i.IndexOffset, i.IndexLen}, Filters: []filterInfo{},
	}
	if i.Last != nil {
		last := showKey(i.Last)
		t.Last = &last
	}
	meta, err := o.Meta()
	if err != nil {
		return nil, err
	}
	for _, f := range meta.Filters {
		t.Filters = append(t.Filters, filterInfo{f.Name, len(f.Data)})
	}
	if i.FilterLen > 0 {
		t.Filter = &section{i.FilterOffset, i.FilterLen}
	}
	s, ok, err := o.Stats()
	if err != nil {
		return nil, err
	}
	if ok {
		t.Stats = &tableStats{s.Puts, s.Deletes, s.Merges, s.RawKeyBytes, s.RawValueBytes}
	}
	if !blocks {
		return t, nil
	}
	x := o.Index()
	for b := range x.Len() {
		end := i.IndexOffset
		if i.FilterLen > 0 {
			end = i.FilterOffset
		}
		if b+1 < x.Len() {
			end = x.Offset(b + 1)
		}
		t.BlockList = append(t.BlockList, blockInfo{x.Offset(b), end - x.Offset(b), showKey(x.Key(b))})
	}
	return t, nil
}

func (t *tableInfo) print(out io.Writer) error {
	w := newTable(out)
	w.row("object", t.Object)
	w.row("bytes", t.Bytes)
	w.row("format", fmt.Sprintf("%d, compression %s", t.Format, t.Compression))
	last := "unknown"
	if t.Last != nil {
		last = *t.Last
	}
	w.row("keys", fmt.Sprintf("%s to %s", t.First, last))
	if s := t.Stats; s != nil {
		w.row("rows", fmt.Sprintf("%s, %s, %s; %d key bytes, %d value bytes", plural(int(s.Puts), "put"),
			plural(int(s.Deletes), "delete"), plural(int(s.Merges), "merge operand"), s.KeyBytes, s.ValueBytes))
	}
	w.row("blocks", t.Blocks)
	w.row("index", fmt.Sprintf("%d bytes at %d", t.Index.Bytes, t.Index.Offset))
	for _, f := range t.Filters {
		w.row("filter", fmt.Sprintf("%s, %d bytes", f.Name, f.Bytes))
	}
	if err := w.flush(); err != nil {
		return err
	}
	if t.BlockList == nil {
		return nil
	}
	w = newTable(out, "BLOCK", "OFFSET", "BYTES", "INDEX KEY")
	for i, b := range t.BlockList {
		w.row(i, b.Offset, b.Bytes, b.Key)
	}
	return w.flush()
}
