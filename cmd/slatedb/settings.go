package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/settings"
)

var configCommand = &command{
	name: "config", args: "", group: groupLook,
	brief: "print the settings that are in effect",
	help: `
Prints every setting that a program gets from settings.Load when it runs in this folder: the defaults, under
SlateDb.json, SlateDb.toml, SlateDb.yaml and SlateDb.yml, under the SLATEDB_ variables; or with
--config, the defaults, under that file, under the variables. The columns are the name, the value
("-" is null), its unit, and where it is from: "default", a file, a variable. A star marks what is not the default.
Settings in brackets are in a section that is off. With --reader, the settings of a reader, which
come from --config alone. --format prints a settings file with the values instead.

Names that no setting has are reported on standard error; with --strict they make the command fail.

example:
  slatedb config
  slatedb config --config ./SlateDb.toml --changed
  slatedb config --format toml`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		asJSON := jsonFlag(fs)
		c := &configPrinter{}
		fs.StringVar(&c.file, "config", "", "settings `FILE`: .json, .toml, .yaml or .yml")
		fs.StringVar(&c.format, "format", "", "print a settings file as `F`: json, toml or yaml")
		fs.BoolVar(&c.reader, "reader", false, "the settings of a reader")
		fs.BoolVar(&c.strict, "strict", false, "fail on names that no setting has")
		fs.BoolVar(&c.changed, "changed", false, "only what is not the default")
		return func(ctx context.Context, io *streams, args []string) error {
			c.asJSON = *asJSON
			return c.run(io)
		}
	},
}

type configPrinter struct {
	file, format                    string
	asJSON, reader, strict, changed bool
}

// valued is what Settings and ReaderSettings have in common.
type valued interface {
	Values() []settings.Value
	Marshal(settings.Format) ([]byte, error)
}

func (c *configPrinter) run(io *streams) error {
	formats := map[string]settings.Format{"json": settings.JSON, "toml": settings.TOML, "yaml": settings.YAML}
	format, ok := formats[strings.ToLower(c.format)]
	if c.format != "" && !ok {
		return usagef("--format is %q, want json, toml or yaml", c.format)
	}
	v, err := c.read(io.err)
	if err != nil {
		return err
	}
	if c.format != "" {
		text, err := v.Marshal(format)
		if err == nil {
			_, err = io.out.Write(text)
		}
		return err
	}
	var values []settings.Value
	for _, x := range v.Values() {
		if !c.changed || !x.IsDefault {
			values = append(values, x)
		}
	}
	if c.asJSON {
		return printSettingsJSON(io.out, values)
	}
	return printSettings(io.out, values)
}

func (c *configPrinter) read(warn io.Writer) (valued, error) {
	if !c.reader {
		return loadSettings(c.file, c.strict, warn)
	}
	s := settings.NewReader(nil)
	s.Strict = c.strict
	if c.file != "" {
		if err := s.MergeFile(c.file); err != nil {
			return nil, err
		}
	}
	_, err := s.Options()
	report(warn, s.Warnings())
	return s, err
}

// loadSettings reads the file, or those of the working directory when there is no name, and
// the environment.
func loadSettings(file string, strict bool, warn io.Writer) (*settings.Settings, error) {
	s := settings.New(nil)
	s.Strict = strict
	var err error
	if file == "" {
		err = s.Load(".")
	} else if err = s.MergeFile(file); err == nil {
		err = s.MergeEnv(settings.Prefix, os.Environ())
	}
	if err == nil {
		_, err = s.Options()
	}
	report(warn, s.Warnings())
	return s, err
}

func report(w io.Writer, warnings []settings.Warning) {
	for _, x := range warnings {
		fmt.Fprintf(w, "slatedb: %s\n", x)
	}
}

func printSettings(out io.Writer, values []settings.Value) error {
	t := newTable(out, "", "SETTING", "VALUE", "UNIT", "SOURCE")
	for _, v := range values {
		mark, name, value := " ", v.Name, settingText(v)
		if !v.IsDefault {
			mark = "*"
		}
		if v.Off {
			name = "[" + name + "]"
		}
		t.row(mark, name, value, settingUnit(v), v.Source)
	}
	return t.flush()
}

// settingText is the value for people: no quotes, and what a section is.
func settingText(v settings.Value) string {
	if v.Kind == settings.Section {
		if v.Value == "null" {
			return "off"
		}
		return "on"
	}
	text := v.Value
	if err := json.Unmarshal([]byte(v.Value), &text); err != nil {
		text = v.Value
	}
	if v.Value == "null" {
		text = "-"
	}
	if v.IsDefault && v.Adaptive != "" {
		text += " (" + v.Adaptive + ")"
	}
	return text
}

// settingUnit is the unit for people; a duration carries its own.
func settingUnit(v settings.Value) string {
	if v.Kind == settings.Duration {
		return ""
	}
	return v.Unit()
}

// settingJSON is a setting for programs.
type settingJSON struct {
	Name     string          `json:"name"`
	Value    json.RawMessage `json:"value"`
	Unit     string          `json:"unit,omitempty"`
	Default  json.RawMessage `json:"default"`
	Changed  bool            `json:"changed"`
	Source   string          `json:"source"`
	Adaptive string          `json:"adaptive,omitempty"`
	Off      bool            `json:"off,omitempty"`
	Option   string          `json:"option,omitempty"`
	Effect   string          `json:"effect"`
}

func printSettingsJSON(out io.Writer, values []settings.Value) error {
	list := make([]settingJSON, len(values))
	for i, v := range values {
		list[i] = settingJSON{
			Name: v.Name, Value: json.RawMessage(v.Value), Unit: v.Unit(), Default: json.RawMessage(v.Default), Changed: !v.IsDefault,
			Source: v.Source, Off: v.Off, Option: v.Option, Effect: v.Effect,
		}
		if v.IsDefault {
			list[i].Adaptive = v.Adaptive
		}
	}
	return printJSON(out, list)
}

// A settingsFile is the flag --config of commands that run something: the file, under the
// environment. Without the flag neither counts.
type settingsFile struct{ s *settings.Settings }

func settingsFlag(fs *flag.FlagSet) *settingsFile {
	f := &settingsFile{}
	fs.Var(f, "config", "settings `FILE`, under the SLATEDB_ variables; see slatedb config")
	return f
}

func (f *settingsFile) String() string { return "" }

// Set reads the file. A name in it that no setting has is an error: who gives a file to a
// command wants it to count. Variables may be meant for others.
func (f *settingsFile) Set(name string) error {
	s := settings.New(nil)
	s.Strict = true
	if err := s.MergeFile(name); err != nil {
		return err
	}
	s.Strict = false
	if err := s.MergeEnv(settings.Prefix, os.Environ()); err != nil {
		return err
	}
	f.s = s
	_, err := s.Options()
	return err
}

// read returns options of the caller's own, and whether a setting was given.
func (f *settingsFile) read() (o *slatedb.Options, said func(name string) bool) {
	o, said = &slatedb.Options{}, func(string) bool { return false }
	if f == nil || f.s == nil {
		return o, said
	}
	if given, err := f.s.Options(); err == nil { // Set has looked
		o = given
	}
	return o, func(name string) bool {
		v, ok := f.s.Value(name)
		return ok && v.Source != "default"
	}
}

// compactor are the compactor's options of the file.
func (f *settingsFile) compactor() slatedb.CompactorOptions {
	if o, _ := f.read(); o.Compactor != nil {
		return *o.Compactor
	}
	return slatedb.CompactorOptions{}
}

// collector are the collector's options of the file.
func (f *settingsFile) collector() slatedb.GCOptions {
	if o, _ := f.read(); o.GC != nil {
		return *o.GC
	}
	return slatedb.GCOptions{}
}
