package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"
	"go.yaml.in/yaml/v3"

	"github.com/slatedb/slatedb-go"
)

// A Format is a language of settings files.
type Format uint8

// The formats.
const (
	JSON Format = iota
	TOML
	YAML
)

func (f Format) String() string {
	return [...]string{"JSON", "TOML", "YAML", "unknown"}[min(f, YAML+1)]
}

// FormatOf tells the format by a file's name: .json, .toml, .yaml, .yml. Anything else is
// ErrInvalid.
func FormatOf(path string) (Format, error) {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".json":
		return JSON, nil
	case ".toml":
		return TOML, nil
	case ".yaml", ".yml":
		return YAML, nil
	default:
		return 0, &Error{Source: path, Reason: fmt.Sprintf("%q is no format, want .json, .toml, .yaml or .yml", ext)}
	}
}

// An Error says which setting is wrong, where, and why. It is slatedb.ErrInvalid.
type Error struct {
	Source string // file, environment variable or ""
	Name   string // the field's whole name, or "" when it is not about one
	Reason string
}

func (e *Error) Error() string {
	b := strings.Builder{}
	b.WriteString("settings: ")
	for _, s := range []string{e.Source, e.Name} {
		if s != "" {
			b.WriteString(s + ": ")
		}
	}
	return b.String() + e.Reason
}

// Is reports whether target is slatedb.ErrInvalid.
func (e *Error) Is(target error) bool { return target == slatedb.ErrInvalid }

// maxFile bounds a file: parsers recurse and expand, and all settings together take 3 KiB.
const maxFile = 64 << 10

// parse turns a file into sections (map[string]any) and values. name is for errors.
func parse(f Format, name string, data []byte) (m map[string]any, err error) {
	if len(data) > maxFile {
		return nil, &Error{Source: name, Reason: fmt.Sprintf("it has %d bytes, want at most %d", len(data), maxFile)}
	}
	defer func() {
		if r := recover(); r != nil { // a parser's own defect is no reason to take the program down
			m, err = nil, &Error{Source: name, Reason: fmt.Sprintf("it is no %s: %v", f, r)}
		}
	}()
	switch f {
	case JSON:
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		if err = dec.Decode(&m); err == nil {
			if _, more := dec.Token(); more != io.EOF {
				err = errors.New("something follows the object")
			}
		}
		if err == nil && m == nil {
			err = errors.New("it is null")
		}
	case TOML:
		err = toml.Unmarshal(data, &m)
	case YAML:
		err = yaml.Unmarshal(data, &m)
	default:
		err = errors.New("there is no such format")
	}
	if err != nil {
		return nil, &Error{Source: name, Reason: fmt.Sprintf("it is no %s with settings: %s", f, clipLines(err))}
	}
	return m, nil
}

// clipLines keeps an error of a parser in one line.
func clipLines(err error) string {
	s := strings.Join(strings.Fields(err.Error()), " ")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}

// parseEnv gathers the variables that begin with prefix, in any case, into sections.
func parseEnv(prefix string, environ []string) (m map[string]any, from map[string]string, err error) {
	m, from = make(map[string]any), make(map[string]string)
	for _, kv := range environ {
		variable, value, ok := strings.Cut(kv, "=")
		if !ok || len(variable) <= len(prefix) || !strings.EqualFold(variable[:len(prefix)], prefix) {
			continue
		}
		name := strings.ReplaceAll(strings.ToLower(variable[len(prefix):]), "__", ".")
		if twice, ok := from[name]; ok {
			return nil, nil, &Error{Source: variable, Name: name, Reason: twice + " is set too"}
		}
		from[name] = variable
		at := m
		parts := strings.Split(name, ".")
		for i, p := range parts[:len(parts)-1] {
			switch sub := at[p].(type) {
			case nil:
				next := make(map[string]any)
				at[p], at = next, next
			case map[string]any:
				at = sub
			default:
				return nil, nil, &Error{Source: variable, Name: name, Reason: from[strings.Join(parts[:i+1], ".")] + " gives the whole section"}
			}
		}
		leaf := parts[len(parts)-1]
		if _, ok := at[leaf]; ok {
			return nil, nil, &Error{Source: variable, Name: name, Reason: "a variable of one of its fields is set too"}
		}
		at[leaf] = envText(value)
		if strings.HasPrefix(strings.TrimSpace(value), "{") {
			if at[leaf], err = parse(JSON, variable, []byte(value)); err != nil {
				return nil, nil, err
			}
		}
	}
	return m, from, nil
}
