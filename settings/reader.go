package settings

import (
	"log/slog"

	"github.com/slatedb/slatedb-go"
)

// ReaderSettings put slatedb.ReaderOptions together, as Settings do Options.
type ReaderSettings struct{ layers }

// NewReader returns ReaderSettings that begin with what o says; nil stands for the defaults.
func NewReader(o *slatedb.ReaderOptions) *ReaderSettings {
	return &ReaderSettings{layers{table: readerTable(), t: newTarget(nil, o), check: readerConsistent, source: make(map[string]string)}}
}

// Options are the settings so far, or ErrInvalid when they do not go together.
func (s *ReaderSettings) Options() (*slatedb.ReaderOptions, error) {
	if err := s.check(s.t); err != nil {
		return nil, s.locate(err)
	}
	return s.t.readerOptions(), nil
}

// ReaderFile returns a reader's defaults under one file. Names that it does not know are
// logged with slog.Default.
func ReaderFile(path string) (*slatedb.ReaderOptions, error) {
	s := NewReader(nil)
	if err := s.MergeFile(path); err != nil {
		return nil, err
	}
	o, err := s.Options()
	if err == nil {
		logTo(slog.Default(), s.Warnings())
	}
	return o, err
}
