"""Event log and registry: what must not be lost, in one order, and what is agreed on.

Two implementations of `monitor.ports.EventLog` and `monitor.ports.Registry`:

- `memory.MemoryLog(registry=None, *, most_events=…)` and
  `memory_registry.MemoryRegistry(monotonic=time.monotonic)`: gone with the process.
- ``log, registry = await sqlite.open_log(folder, *, monotonic=time.monotonic)``: one file,
  ``log.db``, and its marker ``instance`` in the data directory.  Both are to be closed; the
  file is closed with the second.

Commands that run beside the server open the file for themselves, without an event loop::

    with database.Database.open(folder) as held:
        held.put("user/name", b"…")

with `append`, `get`, `keys`, `create`, `update`, `put`, `delete` as in the ports, and
`database.renew_epoch(folder)` for a store that was put back in a way that `marker` does not notice.
`retention.prune(log, now)` lets go of what has been kept long enough.
"""
