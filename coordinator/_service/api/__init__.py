"""The lease service's API: HTTP and JSON over a replicated log.

Lives here: who may ask (`auth`), what bodies may hold (`body`, `limits`), one module of handlers
for each group of routes, waiting for a lease, the watch, metrics.

Does not live here: the rules (`coordinator.machine`), how a command gets into the log
(`coordinator._service.log`).
"""
