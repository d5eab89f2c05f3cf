package slatedb

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"hash/fnv"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// A PageToken is the place of an iterator as opaque text, in letters, digits, - and _ only, so
// that another scan goes on behind it: in a later request, in another process, after the key it
// names was deleted. "" stands for no token: the start of a scan, and the end of one.
//
// A token holds the last key of its page in the clear, and a checksum against accidents that
// a forger can compute: it says where a scan goes on inside its range and nothing about what
// its bearer may read. It pins nothing: each page shows the database of its own moment, unless
// all are read from one Snapshot or checkpoint.
type PageToken string

// PageToken returns the token of the scan's rest: behind the entry that the iterator stands on
// or, after it has ended, behind the last one. It is "" when the scan has come to the end of
// its range. A scan that ended at its Limit gives a token, whether more entries follow or not.
// After Close, and after an error, it is still that of the last entry.
//
// It is about the iterator's range and order: with ScanOptions.PageToken give the same ones.
func (it *Iterator) PageToken() PageToken {
	p := &it.paged
	switch {
	case it.cur != nil:
		return makePageToken(it.pageScope(), it.desc, it.cur.Key)
	case p.end:
		return ""
	case p.some:
		return makePageToken(it.pageScope(), it.desc, it.last)
	case p.from != "":
		return p.from
	}
	return makePageToken(it.pageScope(), it.desc, nil)
}

// pagePlace is what an iterator keeps for its token.
type pagePlace struct {
	from PageToken // of the scan
	some bool      // Iterator.last is an entry that was returned
	end  bool      // the range has been walked to its end
}

// pageScope identifies the range as the caller gave it: a scan that began with a token has a
// narrower one, and takes the token's word.
func (it *Iterator) pageScope() uint64 {
	if t, err := it.paged.from.parse(); err == nil && it.paged.from != "" {
		return t.scope
	}
	return rangeScope(&it.rng)
}

// rangeScope is a number for a range: equal for equal ones.
func rangeScope(r *kv.Range) uint64 {
	h := fnv.New64a()
	put := func(b []byte, present, flag bool) {
		head := [9]byte{}
		if present {
			head[0] = 1
		}
		if present && flag {
			head[0] = 3
		}
		binary.BigEndian.PutUint64(head[1:], uint64(len(b)))
		_, _ = h.Write(head[:])
		_, _ = h.Write(b)
	}
	put(r.Start, len(r.Start) > 0, r.StartExclusive)
	put(r.End, r.End != nil, r.EndInclusive)
	return h.Sum64()
}

// The bytes of a token: version, flags, scope, key, CRC-32 of all that.
const (
	pageTokenVersion = 1
	pageTokenDesc    = 1 << 0
	pageTokenKey     = 1 << 1
	pageTokenHead    = 2 + 8
)

func makePageToken(scope uint64, desc bool, key []byte) PageToken {
	b := make([]byte, 0, pageTokenHead+len(key)+crc32.Size)
	flags := byte(0)
	if desc {
		flags |= pageTokenDesc
	}
	if key != nil {
		flags |= pageTokenKey
	}
	b = append(b, pageTokenVersion, flags)
	b = binary.BigEndian.AppendUint64(b, scope)
	b = append(b, key...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return PageToken(base64.RawURLEncoding.EncodeToString(b))
}

// pageTokenParts is a token taken apart.
type pageTokenParts struct {
	scope uint64
	desc  bool
	key   []byte // nil: nothing was returned yet
}

func (t PageToken) parse() (p pageTokenParts, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(t))
	if err != nil || len(b) < pageTokenHead+crc32.Size {
		return p, invalidf("page token is damaged")
	}
	body, sum := b[:len(b)-crc32.Size], binary.BigEndian.Uint32(b[len(b)-crc32.Size:])
	switch {
	case crc32.ChecksumIEEE(body) != sum:
		return p, invalidf("page token is damaged")
	case body[0] != pageTokenVersion || body[1]&^(pageTokenDesc|pageTokenKey) != 0:
		return p, invalidf("page token of version %d, want %d", body[0], pageTokenVersion)
	}
	p.scope, p.desc = binary.BigEndian.Uint64(body[2:]), body[1]&pageTokenDesc != 0
	switch key := body[pageTokenHead:]; {
	case body[1]&pageTokenKey != 0:
		p.key = key
	case len(key) > 0:
		return p, invalidf("page token is damaged")
	}
	return p, nil
}

// narrow returns what is left of r, the range of the scan that the token came from.
func (t PageToken) narrow(r kv.Range, desc bool) (kv.Range, error) {
	p, err := t.parse()
	switch {
	case err != nil:
		return r, err
	case p.desc != desc:
		return r, invalidf("page token is of a scan in the other order")
	case p.scope != rangeScope(&r) || p.key != nil && !r.Contains(p.key):
		return r, invalidf("page token is of a scan of another range")
	case p.key == nil:
		return r, nil
	case desc:
		r.End, r.EndInclusive = p.key, false
	default:
		r.Start, r.StartExclusive = p.key, true
	}
	return r, nil
}

// MarshalText returns the token's text.
func (t PageToken) MarshalText() ([]byte, error) { return []byte(t), nil }

// UnmarshalText takes the text of a token; ErrInvalid when it is none. Whether it fits a scan
// shows there.
func (t *PageToken) UnmarshalText(text []byte) error {
	if len(text) > 0 {
		if _, err := PageToken(text).parse(); err != nil {
			return err
		}
	}
	*t = PageToken(text)
	return nil
}
