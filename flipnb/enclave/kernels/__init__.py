"""Kernels and other keyless children of an enclave, and the walls around them.

Nothing is imported here: the file that runs inside the sandbox must not pull in the enclave.
"""
