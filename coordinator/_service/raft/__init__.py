"""Replication of the lease machine by PySyncObj, made durable, bounded and wary.

PySyncObj brings the vote and the copying of the log. What it does not bring stands here:

* `files`, `records`, `journal`: a log on disk that is true after any crash;
* `snapshot`, `store`: the state on disk and on its way to another node, checked before it counts;
* `connection`, `unpickler`, `transport`, `secret`: peers that prove who they are before a byte of
  theirs is believed, and nothing sent before the journal is safe;
* `core`: the rules of Raft that PySyncObj leaves out;
* `pace`, `engine`: time as data, one entry for one command, results;
* `real`, `node`: the same on this machine, as a `ReplicatedLog` for an event loop; `compat` says
  by name which of PySyncObj's private parts all this stands on.

Import the module you mean: `records`, `snapshot` and `folder` work without PySyncObj, for those
who read a node's folder offline.
"""
