package settings

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
)

// A Warning is about a name that is no field, or no longer one.
type Warning struct {
	Source  string // file or environment variable
	Name    string // as it was given, nested by dots
	Nearest string // the name that was probably meant, or that took its place; or ""
	Reason  string
	Ignored bool // what was said has no effect; an old name's has
}

func (w Warning) String() string {
	s := w.Name + ": " + w.Reason
	if w.Source != "" {
		s = w.Source + ": " + s
	}
	return s
}

// An assignment is one value of a file, on its way to a field.
type assignment struct {
	f     *field
	raw   any
	quiet bool // by an old name: it turns no section on
}

// A plan is what a file says, sorted out.
type plan struct {
	table    *fieldTable
	source   string
	strict   bool
	from     map[string]string // environment variables by name
	old, new []assignment
	warnings []Warning
	errs     []error
}

func (p *plan) at(name string) string {
	for n := name; n != ""; n = parentOf(n) {
		if v, ok := p.from[n]; ok {
			return v
		}
	}
	return p.source
}

func (p *plan) fail(name string, err error) {
	p.errs = append(p.errs, &Error{Source: p.at(name), Name: name, Reason: err.Error()})
}

func (p *plan) warn(name, nearest, reason string, ignored bool) {
	p.warnings = append(p.warnings, Warning{p.at(name), name, nearest, reason, ignored})
}

// section sorts out what stands in a section, in the order of the names: every run says
// the same.
func (p *plan) section(name string, m map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		raw := m[key]
		full := key
		if name != "" {
			full = name + "." + key
		}
		f := p.table.byName[full]
		switch {
		case f != nil && !strings.Contains(key, "."):
			p.value(f, raw)
		case p.table == dbTable() && renamed[full] != nil:
			to := renamed[full]
			p.warn(full, to[0], "it is now called "+strings.Join(to, " and "), false)
			for _, n := range to {
				p.old = append(p.old, assignment{f: p.table.byName[n], raw: raw, quiet: true})
			}
		case p.table == dbTable() && retired[full] != "":
			p.warn(full, "", "it is no setting any more: "+retired[full], true)
		default:
			p.unknown(full)
		}
	}
}

// value takes what is said about f; a section's fields come behind it.
func (p *plan) value(f *field, raw any) {
	p.new = append(p.new, assignment{f: f, raw: raw})
	if m, ok := raw.(map[string]any); ok && f.Kind == Section {
		p.section(f.Name, m)
	}
}

// unknown reports a name that no field has.
func (p *plan) unknown(full string) {
	near := p.table.nearest(full)
	reason := "there is no such setting"
	if near != "" {
		reason += fmt.Sprintf(", did you mean %s?", near)
	}
	p.warn(clip(full), near, reason, true)
}

// apply carries the plan out on t and returns the names of the fields that it set.
func (p *plan) apply(t *target) (set map[string]string, err error) {
	set = make(map[string]string)
	for _, a := range slices.Concat(p.old, p.new) {
		var v any
		if _, isSection := a.raw.(map[string]any); isSection && a.f.Kind == Section {
			if a.f.get(t) != nil {
				continue // it is on, and only holds what follows
			}
			v = true
		} else if v, err = a.f.accept(a.raw); err != nil {
			p.fail(a.f.Name, err)
			continue
		}
		if !a.quiet && v != nil {
			p.enable(t, a.f.parent())
		}
		a.f.set(t, v)
		set[a.f.Name] = p.at(a.f.Name)
	}
	return set, errors.Join(p.errs...)
}

// enable turns on the section name and those around it, since a field of it was given.
func (p *plan) enable(t *target, name string) {
	for ; name != ""; name = parentOf(name) {
		if f := p.table.byName[name]; f.get(t) == nil {
			f.set(t, true)
		}
	}
}

// nearest is the name of a field that full was probably meant to be, or "".
func (t *fieldTable) nearest(full string) string {
	parent, leaf := parentOf(full), leafOf(full)
	if near := nearest(leaf, leaves(t.below[parent])); near != "" {
		if parent != "" {
			near = parent + "." + near
		}
		return near
	}
	var elsewhere []string
	for i := range t.rows {
		if leafOf(t.rows[i].Name) == leaf {
			elsewhere = append(elsewhere, t.rows[i].Name)
		}
	}
	if len(elsewhere) > 0 {
		return elsewhere[0]
	}
	names := make([]string, len(t.rows))
	for i := range t.rows {
		names[i] = t.rows[i].Name
	}
	return nearest(full, names)
}

func leaves(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = leafOf(n)
	}
	return out
}

// nearest is the name that the fewest edits make of word, if they are few, or "".
func nearest(word string, names []string) string {
	word = strings.ToLower(word)
	if len(word) > 100 {
		return ""
	}
	best, at := "", max(2, len(word)/4)+1
	for _, n := range names {
		if d := edits(word, strings.ToLower(n)); d < at {
			best, at = n, d
		}
	}
	return best
}

// edits is the number of bytes to insert, remove or replace to make b of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// logTo tells a logger of warnings.
func logTo(l *slog.Logger, warnings []Warning) {
	if l == nil {
		l = slog.Default()
	}
	for _, w := range warnings {
		l.Warn("slatedb: a setting is in doubt", "source", w.Source, "name", w.Name, "reason", w.Reason)
	}
}
