"""The lease service as a server: a replicated log under an HTTP API.

Lives here: `log`, what the API asks of a replicated log. The only folder that may import
pysyncobj and aiohttp; nothing outside of `coordinator` imports it.

Does not live here: the rules (`coordinator.machine`), the client (`coordinator.client`).
"""
