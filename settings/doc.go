// Package settings reads slatedb.Options from files and the environment, under the names of
// SlateDB's own settings, so that a file written for the Rust engine works here.
//
//	defaults ◀─ SlateDb.json ◀─ SlateDb.toml ◀─ SlateDb.yaml ◀─ SlateDb.yml ◀─ SLATEDB_… ◀─ Set
//	                   └──────────── each lays what it names over the rest ───────────┘
//	                                             ▼
//	                         slatedb.Options ──▶ Marshal ──▶ JSON, TOML, YAML
//
// Load, File and Env do that in one call. A Settings does it step by step, and tells where
// each value came from.
//
// What there is to set is one table of fields (Fields), which everything here walks. What a
// file cannot hold (a Store, a MergeOperator, a Logger) the program sets itself in the Options
// that it gets.
//
// # Files
//
// Files are partial: what they do not name stays. Durations are text: "100ms", "5m",
// "1s+500ms", and a number without a unit is seconds. Sizes are integers of bytes. A section
// such as compactor_options is laid over field by field; null turns it off, and naming any of
// its fields turns it on. TOML and the environment have no null; there the text "null" or
// "none" stands for it. A file is at most 64 KiB.
//
// object_store_cache_options make Options.DiskCache once root_folder names a folder; without
// one there is no disk cache, whatever else the section says. A part size is accepted as the
// Rust engine accepts it, any multiple of 1024, and used as the power of two below it, from
// 4 KiB to 4 MiB. Settings of this engine alone (Field.Own) may stand in a file for both: the
// Rust engine ignores them.
//
// # The environment
//
// The name behind the prefix is the field's, in capitals, nested by a dot or by two
// underscores: SLATEDB_FLUSH_INTERVAL, SLATEDB_COMPACTOR_OPTIONS__WORKER__MAX_SST_SIZE.
//
// # Errors
//
// A wrong type, a number out of its range, and values that exclude each other are
// slatedb.ErrInvalid with the field and the file. A name that no field has is a Warning with
// the nearest one there is, since files of other versions should work: Load, File and Env log
// it; with Settings.Strict it is ErrInvalid. Names that settings once had are accepted with
// a Warning too.
//
// Nothing here is safe for concurrent use, and nothing keeps state between calls.
package settings
