package probe

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/slatedb/slatedb-go/objstore"
)

// looks is what the reads of the second wave found.
type looks struct {
	get                              objstore.Object
	head                             objstore.Attributes
	mid, tail                        []byte
	tailN                            int
	getErr, headErr, midErr, tailErr error
	all, behind                      listing
	remains                          []string
}

// judge decides what the reads say. The third wave may still fail some of it.
func (r *run) judge(l *looks, a, b, c string) {
	want := content(0x40)
	l.remains = l.all.remains

	switch {
	case l.getErr != nil:
		r.readFailure(l.getErr)
	case !bytes.Equal(l.get.Body, want):
		r.rep.fail(WholeBody, "a get returned %d other bytes", len(l.get.Body))
	}
	r.rep.pass(WholeBody)
	if l.headErr != nil {
		r.readFailure(l.headErr)
	} else if l.head.Size != int64(len(want)) {
		r.rep.fail(ReadAfterWrite, "a head tells a size of %d, want %d", l.head.Size, len(want))
	}

	switch {
	case l.midErr != nil:
		r.rep.fail(RangeRead, "a range within the object: %v", l.midErr)
	case !bytes.Equal(l.mid, want[16:32]):
		r.rep.fail(RangeRead, "a range returned other bytes; it may be the beginning of the whole body")
	case l.tailErr == nil:
		r.rep.fail(RangeRead, "a range that reaches behind the end was filled all the same")
	case !errors.Is(l.tailErr, objstore.ErrRange):
		r.rep.fail(RangeRead, "a range that reaches behind the end: %v", l.tailErr)
	case l.tailN != 16 || !bytes.Equal(l.tail[:16], want[48:]):
		r.rep.fail(RangeRead, "the end of the object came with %d bytes, want 16", l.tailN)
	}
	r.rep.pass(RangeRead)

	switch {
	case !r.p.PutID:
		r.rep.absent(Metadata)
	case l.getErr == nil && l.get.PutID != idB:
		r.rep.fail(Metadata, "a get returned the put-id %q, want %q", l.get.PutID, idB)
	case l.headErr == nil && l.head.PutID != idB:
		r.rep.fail(Metadata, "a head returned the put-id %q, want %q", l.head.PutID, idB)
	case l.getErr == nil && l.headErr == nil:
		r.rep.pass(Metadata)
	}

	var lacks []string
	for _, k := range []string{a, b, c} {
		if !l.all.has(k) {
			lacks = append(lacks, k[strings.LastIndexByte(k, '/')+1:])
		}
	}
	switch {
	case !l.all.order || !l.behind.order:
		r.rep.fail(ListOrder, "keys do not ascend by their bytes, or lie outside what was asked for")
	case len(lacks) > 0:
		r.rep.fail(ListAfterWrite, "a listing lacks or missizes what was just written: %s", strings.Join(lacks, ", "))
	case l.behind.has(a):
		r.rep.fail(ListOrder, "a listing from a key on holds the key itself")
	case !l.behind.has(b) || !l.behind.has(c):
		r.rep.fail(ListAfterWrite, "a listing from a key on lacks what was just written")
	default:
		r.rep.pass(ListAfterWrite, ListOrder)
	}
}

// readFailure files what was wrong with a read of an object that is there.
func (r *run) readFailure(err error) {
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		r.rep.fail(ReadAfterWrite, "an object that was just written is not there")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, errOdd):
		r.rep.fail(WholeBody, "a get: %v", err)
	default:
		r.rep.fail(ReadAfterWrite, "a read: %v", err)
	}
}
