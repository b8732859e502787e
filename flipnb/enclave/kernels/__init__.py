"""Where kernels are started: the kernelspec, its provisioner, the launcher inside the sandbox, GPUs.

Nothing is imported here: the file that runs inside the sandbox must not pull in the enclave.
"""
