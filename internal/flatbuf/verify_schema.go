package flatbuf

// The description of the schema that the verifier walks: one table variable per flatbuffers
// table, its fields in slot order. A test compares it with schema/*.fbs.

// kind says how a slot is stored.
type kind uint8

const (
	kindScalar kind = iota // size bytes inline
	kindVector             // offset to a vector of scalars of size bytes
	kindString             // offset to UTF-8 bytes with a zero behind them
	kindTable              // offset to one table
	kindTables             // offset to a vector of offsets to tables
	kindUnion              // offset to the table that the slot before (the type) names
)

type field struct {
	kind     kind
	size     uint8
	required bool
	table    *table
	union    []*table // by type - 1
}

type table struct {
	name   string
	fields []field
}

func scalar(size uint8) field             { return field{kind: kindScalar, size: size} }
func vector(size uint8) field             { return field{kind: kindVector, size: size} }
func text() field                         { return field{kind: kindString, size: 1} }
func one(t *table) field                  { return field{kind: kindTable, table: t} }
func many(t *table) field                 { return field{kind: kindTables, size: 4, table: t} }
func unionOf(ts ...*table) field          { return field{kind: kindUnion, union: ts} }
func required(f field) field              { f.required = true; return f }
func tableOf(n string, f ...field) *table { return &table{name: n, fields: f} }

var (
	tUUID       = tableOf("Uuid", scalar(8), scalar(8))
	tULID       = tableOf("Ulid", scalar(8), scalar(8))
	tBytesBound = tableOf("BytesBound", vector(1), scalar(1))
	tBytesRange = tableOf("BytesRange", required(one(tBytesBound)), required(one(tBytesBound)))

	tSsTableInfo = tableOf("SsTableInfo", vector(1), scalar(8), scalar(8), scalar(8), scalar(8),
		scalar(1), scalar(1), vector(1), scalar(8), scalar(8), scalar(1))
	tBlockStats   = tableOf("BlockStats", scalar(2), scalar(2), scalar(2))
	tSstStats     = tableOf("SstStats", scalar(8), scalar(8), scalar(8), scalar(8), scalar(8), many(tBlockStats))
	tBlockMeta    = tableOf("BlockMeta", scalar(8), required(vector(1)), scalar(4))
	tSsTableIndex = tableOf("SsTableIndex", required(many(tBlockMeta)))

	tCompactedSsTable = tableOf("CompactedSsTable", required(one(tULID)), required(one(tSsTableInfo)),
		one(tBytesRange), scalar(2))
	tCompactedSsTableV2   = tableOf("CompactedSsTableV2", required(one(tULID)), required(one(tSsTableInfo)), scalar(2))
	tCompactedSsTableView = tableOf("CompactedSsTableView", required(one(tULID)), required(one(tULID)), one(tBytesRange))
	tSortedRun            = tableOf("SortedRun", scalar(4), required(many(tCompactedSsTable)))
	tSortedRunV2          = tableOf("SortedRunV2", scalar(4), required(many(tCompactedSsTableView)))

	tExternalDB = tableOf("ExternalDb", required(text()), required(one(tUUID)), one(tUUID), required(many(tULID)))

	tWriterCheckpoint = tableOf("WriterCheckpoint", scalar(8))
	tCheckpoint       = tableOf("Checkpoint", required(one(tUUID)), scalar(8), scalar(4), scalar(4),
		scalar(1), unionOf(tWriterCheckpoint), text())
	tManifestV1 = tableOf("ManifestV1", scalar(8), many(tExternalDB), scalar(1), scalar(8), scalar(8),
		scalar(8), scalar(8), one(tULID), required(many(tCompactedSsTable)), required(many(tSortedRun)),
		scalar(8), required(many(tCheckpoint)), scalar(8), text(), scalar(8), vector(1))
	tSegment = tableOf("Segment", required(vector(1)), one(tULID), required(many(tCompactedSsTableView)),
		required(many(tSortedRunV2)))
	tManifestV2 = tableOf("ManifestV2", scalar(8), many(tExternalDB), scalar(1), scalar(8), scalar(8),
		scalar(8), scalar(8), one(tULID), required(many(tCompactedSsTableV2)), required(many(tCompactedSsTableView)),
		required(many(tSortedRunV2)), scalar(8), required(many(tCheckpoint)), scalar(8), scalar(8), vector(1),
		many(tSegment), text())

	tTieredCompactionSpec    = tableOf("TieredCompactionSpec", many(tULID), vector(4), many(tULID), vector(1), scalar(4))
	tDrainSegmentSpec        = tableOf("DrainSegmentSpec", required(vector(1)), many(tULID), vector(4))
	tWorkerSpec              = tableOf("WorkerSpec", text(), scalar(8))
	tSubcompaction           = tableOf("Subcompaction", required(one(tBytesRange)), many(tCompactedSsTable), scalar(1))
	tTieredCompactionContext = tableOf("TieredCompactionContext", many(tSubcompaction), scalar(8))
	tCompaction              = tableOf("Compaction", required(one(tULID)),
		scalar(1), required(unionOf(tTieredCompactionSpec, tDrainSegmentSpec)), scalar(1),
		many(tCompactedSsTable), one(tWorkerSpec), scalar(1), unionOf(tTieredCompactionContext))
	tCompactionsV1 = tableOf("CompactionsV1", scalar(8), required(many(tCompaction)))
)
