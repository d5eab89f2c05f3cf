#!/usr/bin/env python3
"""Holds one handle of the original engine open and does what the lines on stdin say.

usage: session.py writer|reader store=ABSOLUTE_PATH path=db
Each line is a JSON command, each answer a JSON line: {"ok": true, ...} or {"error": KIND, "text": ...}.
  {"do":"put","k":HEX,"v":HEX}  durable when answered        {"do":"get","k":HEX} -> {"v":HEX or null}
  {"do":"flush"}                                             {"do":"close"}, the last one
The first answer, before any command, tells whether opening went well.
"""
import asyncio
import json
import sys

import slatedb.uniffi as u


class Append(u.MergeOperator):
    def merge(self, key, existing_value, operand):
        return (existing_value or b"") + operand


def answer(**fields):
    print(json.dumps(fields), flush=True)


async def main():
    role = sys.argv[1]
    args = dict(a.split("=", 1) for a in sys.argv[2:])
    store = u.ObjectStore.resolve("file:///")
    path = args["store"].strip("/") + "/" + args.get("path", "db")

    async def open_handle():
        if role == "reader":
            b = u.DbReaderBuilder(path, store)
            b.with_merge_operator(Append())
            b.with_reader_mode(u.ReaderMode.FOLLOW_LATEST())
            return await b.build()
        settings = u.Settings.default()
        settings.set("garbage_collector_options", "null")
        settings.set("compactor_options", "null")
        b = u.DbBuilder(path, store)
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
        if c["do"] == "put":
            async def put():
                await handle.put(bytes.fromhex(c["k"]), bytes.fromhex(c["v"]))
                await handle.flush()
                return True
            if await tell(put()):
                answer(ok=True)
        elif c["do"] == "get":
            async def get():
                return (await handle.get(bytes.fromhex(c["k"])),)
            got = await tell(get())
            if got is not None:
                answer(ok=True, v=None if got[0] is None else got[0].hex())
        elif c["do"] == "flush":
            async def flush():
                await handle.flush()
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
