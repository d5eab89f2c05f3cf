package settings

import (
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/slatedb/slatedb-go"
)

// cacheFields are those of Options.DiskCache and of ReaderOptions.DiskCache. The options are
// nil while root_folder is null, whatever else is said: the defaults of the Rust engine,
// written to a file, name a part size and no folder.
func cacheFields() []field {
	const in, option = "object_store_cache_options.", "DiskCache."
	return []field{
		section("object_store_cache_options", "DiskCache", nil, "The cache of parts of tables on a local disk; on when root_folder is set."),
		textField(in+"root_folder", option+"Dir", func(t *target) *string { return &t.disk.Dir },
			"Folder of the parts; null: no disk cache."),
		numeric(Bytes, in+"max_cache_size_bytes", option+"MaxBytes", int64(16*gib), func(t *target) *int64 { return &t.disk.MaxBytes },
			"Most that the files may take; null: no limit.", null(int64(-1))),
		numeric(Bytes, in+"part_size_bytes", option+"PartBytes", int64(128*kib), func(t *target) *int64 { return &t.disk.PartBytes },
			"What a miss fetches, a multiple of 1024; rounded down to a power of two, within 4096 and 4194304. Small by default, so that the read of one block does not fetch 4 MiB.",
			rustDefault("4194304"), check(wholeKiB), inPowers()),
		toggle(in+"cache_on_flush", option+"OnFlush", false, func(t *target) *bool { return &t.disk.OnFlush },
			"Also caches tables that flushes write."),
		toggle(in+"cache_on_compaction", option+"OnCompaction", false, func(t *target) *bool { return &t.disk.OnCompaction },
			"Also caches tables that compaction writes."),
		preload(in+"preload_disk_cache_on_startup", option+"Preload"),
		duration(in+"scan_interval", option+"ScanInterval", time.Hour, func(t *target) *time.Duration { return &t.disk.ScanInterval },
			"How often it is looked whether the files are still there; null: never.", null(time.Duration(-1))),
		numeric(Integer, in+"max_open_file_handles", option+"MaxOpenFiles", 1000, func(t *target) *int { return &t.disk.MaxOpenFiles },
			"Most files that stay open."),
		toggle(in+"mirror", option+"Mirror", false, func(t *target) *bool { return &t.disk.Mirror },
			"Keeps whole copies of all tables instead of parts of those that are read, and no limit of bytes.", own()),
	}
}

// textField makes the field of a text whose "" is null.
func textField(name, option string, p func(*target) *string, effect string) field {
	f := field{
		Field: Field{Name: name, Kind: Text, Nullable: true, Option: option, Effect: effect},
		get: func(t *target) any {
			if s := *p(t); s != "" {
				return s
			}
			return nil
		},
		set: func(t *target, v any) { *p(t), _ = v.(string) },
	}
	return f.finish(nil)
}

// preloadNames are the names in files, by slatedb.PreloadMode.
var preloadNames = []string{slatedb.PreloadNone: "", slatedb.PreloadL0: "L0Sst", slatedb.PreloadAll: "AllSst"}

func preload(name, option string) field {
	f := field{
		Field: Field{
			Name: name, Kind: Enum, Values: preloadNames[1:], Nullable: true, Option: option,
			Effect: "What is fetched in the background after opening; null: nothing.",
		},
		get: func(t *target) any {
			if m := t.disk.Preload; m != slatedb.PreloadNone && int(m) < len(preloadNames) {
				return preloadNames[m]
			}
			return nil
		},
		set: func(t *target, v any) {
			s, _ := v.(string)
			t.disk.Preload = slatedb.PreloadMode(slices.Index(preloadNames, s))
		},
	}
	return f.finish(nil)
}

const minPart, maxPart = 4 * kib, 4 * mib

// inPowers is for a number that files may give as any multiple of 1024, as they may to the
// Rust engine, while the option is a power of two.
func inPowers() mod {
	return func(f *field) {
		set := f.set
		f.set = func(t *target, v any) {
			n := min(max(v.(int64), minPart), maxPart)
			set(t, int64(1)<<(bits.Len64(uint64(n))-1))
		}
	}
}

func wholeKiB(v any) error {
	if v.(int64)%kib != 0 {
		return errPart
	}
	return nil
}

// diskConsistent checks what the cache itself would refuse, and names the field that is wrong.
func diskConsistent(t *target) error {
	d := t.diskCache()
	if d == nil {
		return nil
	}
	_, err := d.Resolve()
	if err == nil {
		return nil
	}
	e := &Error{Reason: strings.TrimPrefix(err.Error(), slatedb.ErrInvalid.Error()+": ")}
	for _, f := range cacheFields() {
		if f.Kind != Section && strings.Contains(e.Reason, f.Option+" is") {
			e.Name = f.Name
		}
	}
	return e
}
