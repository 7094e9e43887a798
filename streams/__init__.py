"""The agents: what is judged, what gets into the store, and what is told about it.

Lives here: the Faust apps `conform` (chunks to verdicts and history) and `materialize` (history to
QuestDB, ledger, receipts and marks), and the consumer that makes Faust safe for them. Started by
`python -m streams conform|materialize`.

Does not live here: what is right or wrong with bars (`bars.conformance`), how the topics and the
store are spoken to (`topics`, `store`).
"""
