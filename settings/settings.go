package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/slatedb/slatedb-go"
)

// Prefix is what the variables begin with that Load reads.
const Prefix = "SLATEDB_"

// Files are what Load looks for in the working directory, in the order in which one is
// laid over the other.
var files = []string{"SlateDb.json", "SlateDb.toml", "SlateDb.yaml", "SlateDb.yml"}

// Load returns the defaults under SlateDb.json, SlateDb.toml, SlateDb.yaml and SlateDb.yml of
// the working directory, as far as they are there, under the environment's SLATEDB_ variables.
// Names that it does not know are logged with slog.Default.
func Load() (*slatedb.Options, error) {
	s := New(nil)
	if err := s.Load("."); err != nil {
		return nil, err
	}
	return s.finish()
}

// File returns the defaults under one file. A file that is not there is fs.ErrNotExist.
// Names that it does not know are logged with slog.Default.
func File(path string) (*slatedb.Options, error) {
	s := New(nil)
	if err := s.MergeFile(path); err != nil {
		return nil, err
	}
	return s.finish()
}

// Env returns the defaults under the environment's variables that begin with prefix. Names
// that it does not know are logged with slog.Default.
func Env(prefix string) (*slatedb.Options, error) {
	s := New(nil)
	if err := s.MergeEnv(prefix, os.Environ()); err != nil {
		return nil, err
	}
	return s.finish()
}

// Parse returns the defaults under the file that data holds. Names that it does not know are
// logged with slog.Default.
func Parse(f Format, data []byte) (*slatedb.Options, error) {
	s := New(nil)
	if err := s.Merge(f, "", data); err != nil {
		return nil, err
	}
	return s.finish()
}

// Set sets one field of o, by its whole name, to a JSON literal: Set(o, "flush_interval",
// `"50ms"`). When the name is unknown, the value wrong, or the options would not be valid,
// it is ErrInvalid and o is as it was.
func Set(o *slatedb.Options, name, literal string) error {
	s := New(o)
	if err := s.Set(name, literal); err != nil {
		return err
	}
	next, err := s.Options()
	if err != nil {
		return err
	}
	*o = *next
	return nil
}

// Settings puts slatedb.Options together in steps: each lays something over what is there. A
// step that fails changes nothing. Values that exclude each other are found by Options, since
// a later step may still reconcile them.
//
// With Strict, names that no field has are errors of their step; old names are still none.
type Settings struct{ layers }

// layers are what Settings and ReaderSettings have in common.
type layers struct {
	Strict bool

	table    *fieldTable
	t        *target
	check    func(*target) error
	source   map[string]string
	warnings []Warning
}

// New returns Settings that begin with what o says; nil stands for the defaults. They keep
// the rest of o (Store, MergeOperator, …) for Options, and never change o.
func New(o *slatedb.Options) *Settings {
	return &Settings{layers{table: dbTable(), t: newTarget(o, nil), check: consistent, source: make(map[string]string)}}
}

// Merge lays a file's content over the settings. name is where it is from, for errors, and
// may be empty.
func (s *layers) Merge(f Format, name string, data []byte) error {
	m, err := parse(f, name, data)
	if err != nil {
		return err
	}
	return s.merge(m, &plan{table: s.table, source: name})
}

// MergeFile lays a file over the settings; its extension tells the format (FormatOf).
func (s *layers) MergeFile(path string) error {
	f, err := FormatOf(path)
	if err != nil {
		return err
	}
	data, err := readFile(path)
	if err != nil {
		return err
	}
	return s.Merge(f, path, data)
}

// MergeEnv lays variables over the settings, those of environ ("NAME=value", as of
// os.Environ) that begin with prefix in any case.
func (s *layers) MergeEnv(prefix string, environ []string) error {
	m, from, err := parseEnv(prefix, environ)
	if err != nil {
		return err
	}
	return s.merge(m, &plan{table: s.table, from: from, source: "environment"})
}

// Load lays the files that Load looks for, in dir, and then the environment over the settings.
func (s *Settings) Load(dir string) error {
	for _, name := range files {
		if err := s.MergeFile(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return s.MergeEnv(Prefix, os.Environ())
}

// Set lays one value over the settings: name is the whole name of a field, literal is JSON.
// Any other name is ErrInvalid, Strict or not.
func (s *layers) Set(name, literal string) error {
	names := []string{name}
	if s.table.byName[name] == nil {
		if names = renamed[name]; names == nil || s.table != dbTable() {
			p := plan{table: s.table}
			p.unknown(name)
			return &Error{Name: clip(name), Reason: p.warnings[0].Reason}
		}
	}
	var m map[string]any
	err := error(&Error{})
	if json.Valid([]byte(literal)) {
		m, err = parse(JSON, "", []byte(`{"value":`+literal+`}`))
	}
	if err != nil {
		return &Error{Name: name, Reason: fmt.Sprintf("%q is no JSON", clip(literal))}
	}
	p := &plan{table: s.table, source: "Set", strict: true}
	for _, n := range names {
		p.value(s.table.byName[n], m["value"])
	}
	return s.carryOut(p)
}

func (s *layers) merge(m map[string]any, p *plan) error {
	p.strict = s.Strict
	p.section("", m)
	return s.carryOut(p)
}

// carryOut takes the step, whole or not at all.
func (s *layers) carryOut(p *plan) error {
	if p.strict {
		for _, w := range p.warnings {
			if w.Ignored {
				p.errs = append(p.errs, &Error{Source: w.Source, Name: w.Name, Reason: w.Reason})
			}
		}
	}
	t := s.t.clone()
	set, err := p.apply(t)
	if err != nil {
		return err
	}
	s.t = t
	maps.Copy(s.source, set)
	s.warnings = append(s.warnings, p.warnings...)
	return nil
}

// Warnings are what the steps so far have to say about names that are no fields or no longer
// are, and about values that have no effect and differ from the one that has.
func (s *layers) Warnings() []Warning {
	out := slices.Clone(s.warnings)
	for i := range s.table.rows {
		f := &s.table.rows[i]
		v, said := s.t.unused[f.Name]
		if f.writers == "" || !said {
			continue
		}
		if used := s.table.byName[f.writers].get(s.t); v != used {
			out = append(out, Warning{s.source[f.Name], f.Name, f.writers, fmt.Sprintf("%s has no effect: %s is used, which is %s", literal(v), f.writers, literal(used)), true})
		}
	}
	return out
}

// Options are the settings so far, or ErrInvalid when they do not go together. Each call
// returns options of their own.
func (s *Settings) Options() (*slatedb.Options, error) {
	if err := s.check(s.t); err != nil {
		return nil, s.locate(err)
	}
	return s.t.options(), nil
}

// locate adds to an error where its field was set.
func (s *layers) locate(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Source == "" {
		e.Source = s.source[e.Name]
	}
	return err
}

func (s *Settings) finish() (*slatedb.Options, error) {
	o, err := s.Options()
	if err != nil {
		return nil, err
	}
	logTo(slog.Default(), s.Warnings())
	return o, nil
}

// A Value is a field with what is in effect.
type Value struct {
	Field
	// Value is a JSON literal; of a section "true" or "null".
	Value string
	// Source is the file or the environment variable that said so, "program" for what the
	// options of New said, and "default".
	Source string
	// IsDefault: nobody said so, or somebody said the same as the default.
	IsDefault bool
	// Off: it is in a section that is off.
	Off bool
}

// Values lists every field with its value, in the order of Fields.
func (s *layers) Values() []Value {
	out := make([]Value, 0, len(s.table.rows))
	for i := range s.table.rows {
		f := &s.table.rows[i]
		v := Value{Field: f.Field, Value: literal(f.get(s.t)), Source: s.source[f.Name]}
		v.IsDefault = v.Value == f.Default
		if f.isAuto != nil {
			v.IsDefault = f.isAuto(s.t)
		}
		if v.Source == "" {
			v.Source = "default"
			if !v.IsDefault {
				v.Source = "program"
			}
		}
		for at := f.parent(); at != ""; at = parentOf(at) {
			v.Off = v.Off || s.table.byName[at].get(s.t) == nil
		}
		out = append(out, v)
	}
	return out
}

// Value is the value of one field, by its whole name; false when there is no such field.
func (s *layers) Value(name string) (Value, bool) {
	for _, v := range s.Values() {
		if v.Name == name {
			return v, true
		}
	}
	return Value{}, false
}

// readFile reads a file that is not too large.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	if info.IsDir() || info.Size() > maxFile {
		return nil, &Error{Source: path, Reason: fmt.Sprintf("it is no file of at most %d bytes", maxFile)}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	return data, nil
}
