"""The replicated lease service under a seeded scheduler: many nodes, one process, virtual time.

A seed decides everything: how long a message takes, which link breaks, which node loses power in
the middle of which write, what workers do. So a run that fails is printed as a number that runs it
again. Nodes are the real ones (`Engine`, `Core`, `Journal`, the machine); replaced are the network,
the disk, the clock and chance.

* `world`: virtual time and chance. `disk`: what a crash leaves of what was written. `network`:
  connections as TCP has them. `cluster`: nodes that die and come back.
* `workers`: those who hold leases. `faults`: what goes wrong and when.
* `checkers`, `wgl`: what must hold, as pure functions over what was seen. `builds`: builds with a
  rule left out, which the checkers must catch.
* `run`: one seed from beginning to end. `python -m tests.simulation` runs many.
"""
