#!/usr/bin/env python3
"""Holds one handle of the original engine open and does what the lines on stdin say.

usage: session.py writer|reader store=file:///DIR|s3://BUCKET/FOLDER path=db compactor=0|1 filters=0|1 segments=0|1
A compactor here is in a hurry, and merges two of a kind. With filters every table gets a bloom
filter of whole keys and one of prefixes; with segments these are split by the same prefixes, up to
and including the first slash.
Each line is a JSON command, each answer a JSON line: {"ok": true, ...} or {"error": KIND, "text": ...}.
  {"do":"put","k":HEX,"v":HEX}  durable when answered        {"do":"get","k":HEX} -> {"v":HEX or null}
  {"do":"merge",...} and {"do":"delete",...}, the same       {"do":"scan"} -> {"rows":[...]} as peer.py dump has them
  {"do":"prefix","k":HEX} -> {"rows":[...]}, a prefix scan
  {"do":"flush"}, the log  {"do":"memtable"}, to tables      {"do":"close"}, the last one
The first answer, before any command, tells whether opening went well.
"""
import asyncio
import json
import sys

import slatedb.uniffi as u


class Append(u.MergeOperator):
    def merge(self, key, existing_value, operand):
        return (existing_value or b"") + operand


class Slash(u.PrefixExtractor):
    def name(self):
        return "slash"

    def prefix_len(self, target):
        at = (target.key if target.is_POINT() else target.prefix).find(b"/")
        return at + 1 if at >= 0 else None


def features(builder, args):
    """Sets filters and segments on the builder of a writer or a reader."""
    if args.get("filters", "0") == "1":
        cuts = u.BloomFilterOptions(bits_per_key=12, whole_key_filtering=False)
        builder.with_filter_policies([u.FilterPolicy.bloom(10), u.FilterPolicy.bloom_with_options(cuts, Slash())])
    if args.get("segments", "0") == "1":
        builder.with_segment_extractor(Slash())


def answer(**fields):
    print(json.dumps(fields), flush=True)


async def main():
    role = sys.argv[1]
    args = dict(a.split("=", 1) for a in sys.argv[2:])
    scheme, _, rest = args["store"].partition("://")
    bucket, _, folder = rest.partition("/")  # the bucket of a directory is ""
    store = u.ObjectStore.resolve(scheme + "://" + (bucket or "/"))
    path = folder + "/" + args.get("path", "db")

    async def open_handle():
        if role == "reader":
            b = u.DbReaderBuilder(path, store)
            b.with_merge_operator(Append())
            b.with_reader_mode(u.ReaderMode.FOLLOW_LATEST())
            features(b, args)
            return await b.build()
        settings = u.Settings.default()
        settings.set("garbage_collector_options", "null")
        if args.get("compactor", "0") == "0":
            settings.set("compactor_options", "null")
        else:
            for name in ("poll_interval", "commit_compacted_interval", "worker.compactions_poll_interval"):
                settings.set("compactor_options." + name, '"50ms"')
            # Jobs of a session that ended in the middle of them are free again soon.
            settings.set("compactor_options.worker_heartbeat_timeout", '"2s"')
            settings.set("compactor_options.worker.heartbeat_interval", '"200ms"')
            settings.set("compactor_options.scheduler_options", '{"min_compaction_sources": "2"}')
            settings.set("compactor_options.worker.max_sst_size", "16384")
        b = u.DbBuilder(path, store)
        if args.get("filters", "0") == "1":
            settings.set("min_filter_keys", "1")
        features(b, args)
        b.with_settings(settings)
        b.with_merge_operator(Append())
        return await b.build()

    async def tell(work):
        """Awaits work and answers; returns what it returned, or None after an error."""
        try:
            out = await work
        except u.Error as e:
            answer(error=type(e).__name__, text=str(e))
            return None
        return out

    handle = await tell(open_handle())
    if handle is None:
        return
    answer(ok=True)
    loop = asyncio.get_running_loop()
    while True:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        if not line:
            return
        c = json.loads(line)
        if c["do"] in ("put", "merge", "delete"):
            async def write():
                k, v = bytes.fromhex(c["k"]), bytes.fromhex(c["v"])
                if c["do"] == "put":
                    await handle.put(k, v)
                elif c["do"] == "merge":
                    await handle.merge(k, v)
                else:
                    await handle.delete(k)
                await handle.flush()
                return True
            if await tell(write()):
                answer(ok=True)
        elif c["do"] in ("scan", "prefix"):
            async def scan():
                everything = u.KeyRange(start=None, start_inclusive=True, end=None, end_inclusive=False)
                if c["do"] == "scan":
                    it = await handle.scan(everything)
                else:
                    it = await handle.scan_prefix(bytes.fromhex(c["k"]), everything)
                rows = []
                while (r := await it.next()) is not None:
                    rows.append({"k": r.key.hex(), "v": r.value.hex(), "seq": r.seq, "create_ts": r.create_ts, "expire_ts": r.expire_ts})
                return rows
            rows = await tell(scan())
            if rows is not None:
                answer(ok=True, rows=rows)
        elif c["do"] == "get":
            async def get():
                return (await handle.get(bytes.fromhex(c["k"])),)
            got = await tell(get())
            if got is not None:
                answer(ok=True, v=None if got[0] is None else got[0].hex())
        elif c["do"] in ("flush", "memtable"):
            async def flush():
                t = u.FlushType.WAL if c["do"] == "flush" else u.FlushType.MEM_TABLE
                await handle.flush_with_options(u.FlushOptions(flush_type=t))
                return True
            if await tell(flush()):
                answer(ok=True)
        elif c["do"] == "close":
            async def close():
                await handle.shutdown()
                return True
            if await tell(close()):
                answer(ok=True)
            return
        else:
            sys.exit("unknown command " + c["do"])


asyncio.run(main())
