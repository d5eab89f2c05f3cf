package settings

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/slatedb/slatedb-go"
)

// Marshal writes the settings that are in effect with o, nil for the defaults, as a file of
// the format: all of them but those left to adapt (Field.Adaptive), since a value that is
// written is kept as it is. What Parse makes of it has the same effect. Sections that are
// off are null, and settings of this engine alone (Field.Own) are left out at their default. TOML has no null: what is null by default is left out, what is not says "none".
func Marshal(o *slatedb.Options, f Format) ([]byte, error) {
	return New(o).Marshal(f)
}

// Marshal writes the settings so far as a file of the format, as the function Marshal does.
func (s *layers) Marshal(f Format) ([]byte, error) {
	if f > YAML {
		return nil, &Error{Reason: "there is no such format"}
	}
	w := &writer{format: f, s: s}
	for i := range s.table.rows {
		if text, ok := s.table.rows[i].get(s.t).(string); ok && !utf8.ValidString(text) {
			return nil, &Error{Name: s.table.rows[i].Name, Reason: "its text is no UTF-8, which no file holds"}
		}
	}
	switch f {
	case JSON:
		w.json("", 0)
		w.b.WriteString("\n")
	case TOML:
		w.toml("")
	case YAML:
		w.yaml("", 0)
	}
	return []byte(w.b.String()), nil
}

// A writer prints the table as a file.
type writer struct {
	format Format
	s      *layers
	b      strings.Builder
}

// fields are the rows directly in a section that are to be written.
func (w *writer) fields(section string) (out []*field) {
	for _, name := range w.s.table.below[section] {
		f := w.s.table.byName[name]
		adapts := f.isAuto != nil && f.isAuto(w.s.t)
		// TOML has no null, and what the Rust engine reads must be left out for it.
		silent := w.format == TOML && f.isAuto == nil && f.def == nil && f.get(w.s.t) == nil
		silent = silent || f.Own && f.get(w.s.t) == f.def
		if !adapts && !silent {
			out = append(out, f)
		}
	}
	return out
}

// value is a field as the file holds it; open means that a section's fields follow.
func (w *writer) value(f *field) (text string, open bool) {
	v := f.get(w.s.t)
	switch {
	case v == nil && w.format == TOML:
		return `"none"`, false
	case v == nil:
		return "null", false
	case f.Kind == Section:
		return "", true
	case f.strings:
		return `"` + literal(v) + `"`, false
	}
	return literal(v), false
}

func (w *writer) json(section string, depth int) {
	in := strings.Repeat("  ", depth+1)
	w.b.WriteString("{")
	for i, f := range w.fields(section) {
		if i > 0 {
			w.b.WriteString(",")
		}
		fmt.Fprintf(&w.b, "\n%s%q: ", in, leafOf(f.Name))
		text, open := w.value(f)
		w.b.WriteString(text)
		if open {
			w.json(f.Name, depth+1)
		}
	}
	w.b.WriteString("\n" + in[2:] + "}")
}

func (w *writer) yaml(section string, depth int) {
	for _, f := range w.fields(section) {
		w.b.WriteString(strings.Repeat("  ", depth) + leafOf(f.Name) + ":")
		text, open := w.value(f)
		if open {
			w.b.WriteString("\n")
			w.yaml(f.Name, depth+1)
			continue
		}
		w.b.WriteString(" " + text + "\n")
	}
}

// toml writes the values of a section before its sections, as TOML wants it.
func (w *writer) toml(section string) {
	var sections []*field
	for _, f := range w.fields(section) {
		text, open := w.value(f)
		if open {
			sections = append(sections, f)
			continue
		}
		fmt.Fprintf(&w.b, "%s = %s\n", leafOf(f.Name), text)
	}
	for _, f := range sections {
		fmt.Fprintf(&w.b, "\n[%s]\n", f.Name)
		w.toml(f.Name)
	}
}
