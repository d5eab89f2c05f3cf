package merging

import (
	"bytes"
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// checked verifies a source's order in builds with the tag "invariants": keys in its
// direction, and within a key seq never rising.
type checked struct {
	src  kv.Iterator
	desc bool
	key  []byte
	seq  kv.Seq
	any  bool
	err  error
}

func (c *checked) Next() bool           { return c.err == nil && c.look(c.src.Next()) }
func (c *checked) Seek(key []byte) bool { return c.err == nil && c.look(c.src.Seek(key)) }
func (c *checked) Entry() *kv.Entry     { return c.src.Entry() }

func (c *checked) look(ok bool) bool {
	if !ok {
		return false
	}
	e := c.src.Entry()
	if c.any {
		d := bytes.Compare(c.key, e.Key)
		if c.desc {
			d = -d
		}
		if d > 0 || (d == 0 && e.Seq > c.seq) {
			c.err = fmt.Errorf("merge source: %q at %d after %q at %d: %w", e.Key, e.Seq, c.key, c.seq, kv.ErrInternal)
			return false
		}
	}
	c.any, c.seq = true, e.Seq
	c.key = append(c.key[:0], e.Key...)
	return true
}

func (c *checked) Err() error {
	if c.err != nil {
		return c.err
	}
	return c.src.Err()
}

func (c *checked) Close() error {
	if err := c.src.Close(); c.err == nil {
		return err
	}
	return c.err
}
