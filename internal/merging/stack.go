package merging

import "github.com/slatedb/slatedb-go/internal/kv"

// A Stack is a merge and the Resolver above it in one piece of memory, which serves one scan
// after another: Merge, Resolve, Clear. The zero value is ready.
type Stack struct {
	merge   merge
	res     Resolver
	heads   [8]head
	sources [8]source
	key     [64]byte // first buffer of res.key
}

// Merge is New.
func (s *Stack) Merge(desc bool, sources ...kv.Iterator) kv.Iterator {
	if len(sources) == 1 || len(sources) > len(s.sources) {
		return New(desc, sources...)
	}
	s.merge.heads, s.merge.sources = s.heads[:0], s.sources[:len(sources)]
	s.merge.init(desc, sources)
	return &s.merge
}

// Resolve is the function Resolve.
func (s *Stack) Resolve(src kv.Iterator, o ResolveOptions) *Resolver {
	s.res.init(src, o)
	s.res.key = s.key[:0]
	return &s.res
}

// Clear lets go of the sources. What Merge and Resolve returned must not be used any more.
func (s *Stack) Clear() { *s = Stack{} }
