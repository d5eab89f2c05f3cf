package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/internal/kv"
)

// rowJSON is a stored row: an entry with what only a dump shows.
type rowJSON struct {
	Kind string `json:"kind"`
	entryJSON
}

// rowPrinter prints the rows of a dump, as a table or as JSON lines.
type rowPrinter struct {
	out  io.Writer
	json bool
	keys bool
	hex  bool
	left int // rows to print; negative: all
	t    *table
}

// print prints one row; false when the limit was reached before it.
func (p *rowPrinter) print(e *kv.Entry) (bool, error) {
	if p.left == 0 {
		return false, nil
	}
	p.left--
	if p.json {
		j := rowJSON{Kind: e.Kind.String(), entryJSON: entryOf(publicRow(e), !p.keys && e.Kind != kv.Tombstone, p.hex)}
		line, err := json.Marshal(j)
		if err == nil {
			_, err = p.out.Write(append(line, '\n'))
		}
		return true, err
	}
	if p.t == nil {
		head := []string{"SEQ", "KIND", "CREATED", "EXPIRES", "KEY"}
		if !p.keys {
			head = append(head, "VALUE")
		}
		p.t = newTable(p.out, head...)
	}
	cells := []any{e.Seq, e.Kind, stamp(e.CreateTS), stamp(e.ExpireTS), showKey(e.Key)}
	if !p.keys {
		value := ""
		if e.Kind != kv.Tombstone {
			value = showValue(e.Value, p.hex)
		}
		cells = append(cells, value)
	}
	p.t.row(cells...)
	return true, nil
}

func (p *rowPrinter) flush() error {
	if p.t == nil {
		return nil
	}
	t := p.t
	p.t = nil
	return t.flush()
}

func publicRow(e *kv.Entry) slatedb.Entry {
	return slatedb.Entry{Key: e.Key, Value: e.Value, Seq: uint64(e.Seq), CreateTime: stampTime(e.CreateTS), ExpireTime: stampTime(e.ExpireTS)}
}

func stampTime(ms int64) time.Time {
	if ms == kv.NoTS {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func stamp(ms int64) string {
	if ms == kv.NoTS {
		return "-"
	}
	return millis(ms)
}

// jsonLine prints a document on one line.
func jsonLine(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", line)
	return err
}
