"""Series stores: frames in, ranges out.

Two implementations of `monitor.ports.SeriesStore`:

- `memory.MemoryStore()`: bounded, and gone with the process.
- ``await sqlite.open_store(folder, config)``: one file, ``series.db``, and its marker in the data
  directory.

Of the second the modules are, from the way in to the way out: `appending` (commits), `journal`,
`hosts` (what is in memory), `keeper` (what is due), `compaction` over `merging` and
`core.rollups`, `chunks` (the table) of `chunk` (a blob) of `codec` (a column), `snapshots`
(tables of processes), `reading`.  Beside it: `opening`, `schema`, `loading`, `checking`; what
goes, `retention` and `brake`; and what room there is, `space`.
"""
