"""Faults of the lease service: three real nodes, a load that writes down what it was told, checks.

`nodes` runs the processes, `victim` is a node whose disk and clocks obey the test, `links` the ways
between nodes, `load` the workers, `evidence` what the nodes' own logs say afterwards, `trial` all
of them together. `scenarios` is the table; `make test` runs its short form.
"""
