package kv

import "bytes"

// A Range is a set of neighbouring keys. nil bounds are open. A non-nil empty Start is the
// same as nil; a non-nil empty End is a bound below which nothing lies. The two flags mean
// nothing at an open bound.
type Range struct {
	Start, End     []byte
	StartExclusive bool
	EndInclusive   bool
}

// PrefixEnd returns the smallest key above every key that begins with p, or nil when there
// is none (p is empty or all 0xFF).
func PrefixEnd(p []byte) []byte {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] != 0xFF {
			end := bytes.Clone(p[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}

// PrefixRange returns the range of all keys that begin with p.
func PrefixRange(p []byte) Range { return Range{Start: bytes.Clone(p), End: PrefixEnd(p)} }

// AboveStart reports whether key is not cut off by the range's start.
func (r *Range) AboveStart(key []byte) bool {
	if len(r.Start) == 0 {
		return true
	}
	c := bytes.Compare(key, r.Start)
	return c > 0 || (c == 0 && !r.StartExclusive)
}

// BelowEnd reports whether key is not cut off by the range's end.
func (r *Range) BelowEnd(key []byte) bool {
	if r.End == nil {
		return true
	}
	c := bytes.Compare(key, r.End)
	return c < 0 || (c == 0 && r.EndInclusive)
}

// Contains reports whether key lies in the range.
func (r *Range) Contains(key []byte) bool { return r.AboveStart(key) && r.BelowEnd(key) }

// Empty reports whether no key can lie in the range.
func (r *Range) Empty() bool {
	if r.End == nil {
		return false
	}
	if len(r.End) == 0 && !r.EndInclusive {
		return true
	}
	c := bytes.Compare(r.Start, r.End)
	if c > 0 {
		return true
	}
	if c == 0 {
		return (r.StartExclusive && len(r.Start) > 0) || !r.EndInclusive
	}
	// (k, k+0x00) with both ends excluded holds no byte string.
	return r.StartExclusive && len(r.Start) > 0 && !r.EndInclusive && len(r.End) == len(r.Start)+1 &&
		r.End[len(r.Start)] == 0 && bytes.HasPrefix(r.End, r.Start)
}

// Inverted reports whether the start lies above the end, which a caller is told about.
func (r *Range) Inverted() bool { return r.End != nil && bytes.Compare(r.Start, r.End) > 0 }

// Intersect returns the keys that lie in both ranges. The result aliases their bounds.
func (r Range) Intersect(o Range) Range {
	out := r
	if len(o.Start) > 0 {
		switch c := bytes.Compare(o.Start, r.Start); {
		case c > 0:
			out.Start, out.StartExclusive = o.Start, o.StartExclusive
		case c == 0:
			out.StartExclusive = r.StartExclusive || o.StartExclusive
		}
	}
	if o.End != nil {
		switch c := bytes.Compare(o.End, r.End); {
		case r.End == nil || c < 0:
			out.End, out.EndInclusive = o.End, o.EndInclusive
		case c == 0:
			out.EndInclusive = r.EndInclusive && o.EndInclusive
		}
	}
	return out
}

// CommonPrefix returns the longest prefix that every key of the range must have.
func (r *Range) CommonPrefix() []byte {
	if r.End == nil || len(r.Start) == 0 {
		return nil
	}
	n := 0
	for n < len(r.Start) && n < len(r.End) && r.Start[n] == r.End[n] {
		n++
	}
	// [p+x, next(p)) : the end is an exclusive successor of a longer prefix of the start.
	if n < len(r.Start) && len(r.End) == n+1 && !r.EndInclusive && r.End[n] == r.Start[n]+1 {
		m := n + 1
		for m < len(r.Start) && r.Start[m] == 0xFF {
			m++
		}
		return r.Start[:m:m]
	}
	return r.Start[:n:n]
}
