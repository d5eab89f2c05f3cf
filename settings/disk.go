package settings

import (
	"strings"
	"time"
)

// DiskCache is what object_store_cache_options say: a cache of parts of objects on a local
// disk. It is on when Dir is set. The zero value of every field is its default.
type DiskCache struct {
	// Dir is where the parts lie.
	Dir string
	// MaxBytes is the most the parts may take. The default is 16 GiB. Negative: no limit.
	MaxBytes int64
	// PartBytes is the size of a part, a multiple of 1024. The default is 4 MiB.
	PartBytes int
	// OnFlush and OnCompaction also cache tables as they are written.
	OnFlush, OnCompaction bool
	// Preload is what is fetched at open: "" (nothing), "L0Sst", "AllSst".
	Preload string
	// ScanInterval is how often the folder is looked through. The default is 1h. Negative:
	// once.
	ScanInterval time.Duration
	// MaxOpenFiles is the most files that stay open. The default is 1000.
	MaxOpenFiles int
}

// hasDisk says whether slatedb.Options take a DiskCache. They do not: what is said is checked
// and kept (Settings.DiskCache), and a Warning says that it has no effect.
const hasDisk = false

// diskOption is the option behind a field of the section.
func diskOption(name string) string {
	if !hasDisk {
		return ""
	}
	return strings.TrimSuffix("DiskCache."+name, ".")
}

func cacheFields() []field {
	const in = "object_store_cache_options."
	return []field{
		section("object_store_cache_options", diskOption(""), nil, "The cache of parts of objects on a local disk; on when root_folder is set."),
		textField(in+"root_folder", diskOption("Dir"), func(t *target) *string { return &t.disk.Dir }, nil,
			"Folder of the parts; null: no disk cache."),
		numeric(Bytes, in+"max_cache_size_bytes", diskOption("MaxBytes"), int64(16*gib), func(t *target) *int64 { return &t.disk.MaxBytes },
			"Most that the parts may take; null: no limit.", null(int64(-1))),
		numeric(Bytes, in+"part_size_bytes", diskOption("PartBytes"), 4*mib, func(t *target) *int { return &t.disk.PartBytes },
			"Size of a part, a multiple of 1024.", check(func(v any) error {
				if v.(int64)%kib != 0 {
					return errPart
				}
				return nil
			})),
		toggle(in+"cache_on_flush", diskOption("OnFlush"), false, func(t *target) *bool { return &t.disk.OnFlush },
			"Also caches tables that flushes write."),
		toggle(in+"cache_on_compaction", diskOption("OnCompaction"), false, func(t *target) *bool { return &t.disk.OnCompaction },
			"Also caches tables that compaction writes."),
		textField(in+"preload_disk_cache_on_startup", diskOption("Preload"), func(t *target) *string { return &t.disk.Preload }, []string{"L0Sst", "AllSst"},
			"What is fetched at open; null: nothing."),
		duration(in+"scan_interval", diskOption("ScanInterval"), time.Hour, func(t *target) *time.Duration { return &t.disk.ScanInterval },
			"How often the folder is looked through; null: once.", null(time.Duration(-1))),
		numeric(Integer, in+"max_open_file_handles", diskOption("MaxOpenFiles"), 1000, func(t *target) *int { return &t.disk.MaxOpenFiles },
			"Most files that stay open."),
	}
}

// textField makes the field of a text whose "" is null; values, when there are any, are all
// it may be.
func textField(name, option string, p func(*target) *string, values []string, effect string) field {
	f := field{
		Field: Field{Name: name, Kind: Text, Values: values, Nullable: true, Option: option, Effect: effect},
		get: func(t *target) any {
			if s := *p(t); s != "" {
				return s
			}
			return nil
		},
		set: func(t *target, v any) { *p(t), _ = v.(string) },
	}
	if values != nil {
		f.Kind = Enum
	}
	return f.finish(nil)
}
