package main

import (
	"context"
	"flag"
	"strconv"
	"strings"

	"github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
)

// tableOptions are what a process that writes tables must know, and which no object says: the
// flags that every such command has.
type tableOptions struct {
	compression string
	blockSize   int
	file        *settingsFile // nil: the command has no --config
}

func tableFlags(fs *flag.FlagSet) *tableOptions {
	o := &tableOptions{file: settingsFlag(fs)}
	fs.StringVar(&o.compression, "compression", "", "`C` for new tables: none, snappy, zlib, lz4, zstd; default: that of the newest table")
	fs.IntVar(&o.blockSize, "block-size", 0, "`BYTES` of a block before compression; default 4096")
	return o
}

// options fills in what the database itself tells.
func (o *tableOptions) options(ctx context.Context, location string) (*slatedb.AdminOptions, error) {
	file, said := o.file.read()
	a := &slatedb.AdminOptions{BlockSize: o.blockSize, MinFilterKeys: file.MinFilterKeys, MaxRetries: file.MaxRetries, Compression: file.Compression}
	if o.compression != "" {
		c, err := codecNamed(o.compression)
		if err != nil {
			return nil, err
		}
		a.Compression = c
	}
	store, root, err := openStore(ctx, location)
	if err != nil {
		return nil, err
	}
	m, err := manifest.NewStore(store, root, seam.New(seam.Env{})).Latest(ctx)
	if err != nil {
		return nil, err
	}
	if o.compression == "" && !said("compression_codec") {
		a.Compression = newestCodec(m)
	}
	a.SegmentExtractor = extractorNamed(m.ExtractorName)
	return a, nil
}

func codecNamed(name string) (slatedb.Codec, error) {
	for c := slatedb.NoCompression; c.Valid(); c++ {
		if c.String() == strings.ToLower(name) {
			return c, nil
		}
	}
	return 0, usagef("--compression is %q, want none, snappy, zlib, lz4 or zstd", name)
}

// newestCodec is the compression of the newest table.
func newestCodec(m *manifest.Manifest) (c slatedb.Codec) {
	newest := ""
	for v := range m.Views() {
		if id := v.Table.ID.String(); id > newest {
			newest, c = id, v.Table.Info.Codec
		}
	}
	return c
}

// extractorNamed makes the library's own segment extractors again from the name that the
// manifest holds; nil for others, which the library refuses if they are needed.
func extractorNamed(name string) slatedb.PrefixExtractor {
	n, err := strconv.Atoi(name[len(strings.TrimRight(name, "0123456789")):])
	if err != nil {
		return nil
	}
	for _, x := range []slatedb.PrefixExtractor{slatedb.PrefixLength(n), slatedb.PrefixUntil(byte(n))} {
		if x.Name() == name {
			return x
		}
	}
	return nil
}

// writerOptions are the options with which a command opens a database as its writer, for a
// moment: nothing runs beside what it was called for.
func (o *tableOptions) writerOptions(ctx context.Context, location string) (*slatedb.Options, error) {
	a, err := o.options(ctx, location)
	if err != nil {
		return nil, err
	}
	w, _ := o.file.read()
	w.DisableCompactor, w.DisableGC = true, true
	w.Compression, w.BlockSize, w.SegmentExtractor = a.Compression, a.BlockSize, a.SegmentExtractor
	return w, nil
}
