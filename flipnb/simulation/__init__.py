"""A federation on one machine, of twins: a notebook, unchanged, under the arithmetic and the airlocks of a real run.

Real: the session in each kernel, broker and airlock, encoding, coordinator, strategy, consensus, totals. Not there:
sandbox, TLS, hub, approvals, and people. It runs in the researcher's own account and takes twins alone.
"""
