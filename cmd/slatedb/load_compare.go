package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/slatedb/slatedb-go"
)

// compare opens the database again and checks that it holds every file that was stored, with
// the same bytes. One scan reads everything once, in the order of the sorted keys; keys that
// were not loaded now are none of its business.
func (l *loader) compare(ctx context.Context) (err error) {
	if len(l.stored) == 0 {
		return nil
	}
	slices.SortFunc(l.stored, func(a, b storedFile) int { return strings.Compare(a.key, b.key) })
	r, err := openReader(ctx, l.location, false, uuid.Nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close(context.WithoutCancel(ctx))) }()
	var bar *progress
	if !l.quiet {
		bar = newProgress(l.io.err, "verified", len(l.stored), 0)
	}
	wrong := 0
	report := func(format string, args ...any) {
		wrong++
		text := "slatedb load: verify: " + fmt.Sprintf(format, args...)
		if bar != nil {
			bar.note("%s", text)
			return
		}
		fmt.Fprintln(l.io.err, text)
	}

	todo := l.stored
	rng := slatedb.Range{Start: []byte(todo[0].key), End: []byte(todo[len(todo)-1].key), EndInclusive: true}
	for e, err := range r.Entries(ctx, rng, &slatedb.ScanOptions{ReadAheadBytes: 4 << 20}) {
		if err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		for len(todo) > 0 && todo[0].key < string(e.Key) {
			report("%s is missing", showKey([]byte(todo[0].key)))
			todo = todo[1:]
		}
		if len(todo) == 0 || todo[0].key != string(e.Key) {
			continue
		}
		if sha256.Sum256(e.Value) != todo[0].sum {
			report("%s differs", showKey(e.Key))
		}
		if bar != nil {
			bar.add(int64(len(e.Value)))
		}
		todo = todo[1:]
	}
	for _, f := range todo {
		report("%s is missing", showKey([]byte(f.key)))
	}
	if bar != nil {
		bar.done()
	}
	if wrong > 0 {
		return fmt.Errorf("verify: %d of %d files wrong", wrong, len(l.stored))
	}
	return nil
}
