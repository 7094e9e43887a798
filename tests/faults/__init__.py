"""Faults on real servers and real processes, each followed by a comparison bar by bar.

`road` is one road with agents of its own that can be killed and frozen, `scenarios` the table of
what is done to it. `make test` runs those that stand for their kind, with short outages;
`make faults` runs all of them three times, with long ones, and prints a table (`table`). The lease
service has its own in `coordinator`: they need no server.
"""
