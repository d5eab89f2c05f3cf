package sst

import "bytes"

// AdmitTable offers the metadata of a table that was just written, whose whole object is
// body, to the cache: the first read of it then needs one round trip less. Blocks of large
// tables stay out; what is read will come in.
func (s *Store) AdmitTable(h *Handle, body []byte) {
	if s.cache == nil {
		return
	}
	// The id is new: what is cached under it belongs to a database that was wiped, which had
	// the same seed.
	s.Drop(h)
	off, n, err := metaSpan(&h.Info)
	if err != nil || off+n > uint64(len(body)) {
		return
	}
	// The metadata keeps its bytes: it must not pin the object.
	var m *Meta
	err = s.guarded(func() (err error) {
		m, err = decodeMeta(&h.Info, bytes.Clone(body[off:off+n]), off, s.transformer)
		return err
	})
	if err != nil {
		return
	}
	c := s.Open(h).cells
	if l, leader := s.cache.Join(c, MetaBlock); leader {
		c.Size(m.Index.Len())
		s.cache.Finish(c, MetaBlock, l, Loaded{Meta: m}, nil, true)
	}
}
