"""What a person runs: the `seamless` command, the local stack, the demo.

What lives here: commands, and starting and watching processes. What does not: anything that a
process needs to do its work. Nothing imports from here.
"""
