"""Walls around an enclave's keyless processes: jail, seccomp, limits, and the probe that tries them.

Nothing is imported here: files that run inside must not pull in the enclave.
"""
