package slatedb

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// A Condition is what a key must be for PutIf and DeleteIf to write it. Make it with Absent,
// Present, ValueIs or SeqIs; the zero Condition is ErrInvalid.
type Condition struct {
	kind  conditionKind
	value []byte
	seq   uint64
}

type conditionKind uint8

const (
	condNone conditionKind = iota
	condAbsent
	condPresent
	condValue
	condSeq
)

// Absent holds for a key without a value: never written, deleted, or expired.
func Absent() Condition { return Condition{kind: condAbsent} }

// Present holds for a key that has a value.
func Present() Condition { return Condition{kind: condPresent} }

// ValueIs holds for a key whose value is v, byte for byte. v is copied. nil is the empty
// value, not an absent one.
func ValueIs(v []byte) Condition { return Condition{kind: condValue, value: bytes.Clone(v)} }

// SeqIs holds for a key whose value was written under sequence number n, as Entry.Seq shows
// it: nobody has written it since, not even the same value.
func SeqIs(n uint64) Condition { return Condition{kind: condSeq, seq: n} }

// String names the condition as it is written in a program.
func (c Condition) String() string {
	switch c.kind {
	case condAbsent:
		return "Absent()"
	case condPresent:
		return "Present()"
	case condValue:
		return fmt.Sprintf("ValueIs(%q)", c.value)
	case condSeq:
		return fmt.Sprintf("SeqIs(%d)", c.seq)
	}
	return "no condition"
}

// holds compares with what v sees of key.
func (c *Condition) holds(ctx context.Context, v *view, key []byte) (bool, error) {
	switch c.kind {
	case condAbsent, condPresent:
		have, err := v.has(ctx, key)
		return have == (c.kind == condPresent), err
	}
	e, err := v.getEntry(ctx, key, nil)
	switch {
	case err == ErrNotFound:
		return false, nil
	case err != nil:
		return false, err
	case c.kind == condSeq:
		return e.Seq == c.seq, nil
	}
	return bytes.Equal(e.Value, c.value), nil
}

// commitIf is a transaction of one key. The window opens before the look, so that the commit
// section can tell whether the key was written since; then it looks again. Each round that
// fails so means that another write of the key has succeeded.
func (db *DB) commitIf(ctx context.Context, kind kv.Kind, key, value []byte, ttl int64, abs bool, c Condition, o WriteOptions) (WriteHandle, error) {
	if c.kind == condNone {
		return WriteHandle{}, invalidf("a conditional write needs a condition")
	}
	if err := checkRow(key, value); err != nil {
		return WriteHandle{}, err
	}
	h, err := db.tryIf(ctx, kind, key, value, ttl, abs, &c, o)
	for errors.Is(err, ErrConflict) {
		h, err = db.tryIf(ctx, kind, key, value, ttl, abs, &c, o)
	}
	if err != nil || o.NoWait {
		return h, err
	}
	return h, db.awaitDurable(ctx, h.seq)
}

func (db *DB) tryIf(ctx context.Context, kind kv.Kind, key, value []byte, ttl int64, abs bool, c *Condition, o WriteOptions) (WriteHandle, error) {
	var w window
	db.openWindow(&w)
	ended := false
	defer func() {
		if !ended || db.conflicts.backlog.Load() {
			db.endWindow(&w)
		}
	}()
	if err := ctx.Err(); err != nil {
		return WriteHandle{}, err
	}
	v, err := db.view(DurabilityMemory, false)
	if err != nil {
		return WriteHandle{}, err
	}
	switch ok, err := c.holds(ctx, &v, key); {
	case err != nil:
		return WriteHandle{}, err
	case !ok:
		return WriteHandle{}, fmt.Errorf("%w: key %q, want %v", ErrConditionFailed, key, *c)
	}
	db.conf.env.Point("condition.after-read")
	s := rowSets.Get().(*rowSet)
	s.rows = append(s.rows, kv.Entry{Key: key, Value: value, Kind: kind, ExpireTS: kv.NoTS})
	s.ttl = append(s.ttl, rowTTL{ttl, abs})
	s.bytes, s.check = len(key)+len(value), &conflictCheck{window: &w, since: v.max}
	h, err := db.commit(ctx, s, 1, o)
	s.release()
	ended = err == nil
	return h, err
}
