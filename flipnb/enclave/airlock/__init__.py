"""The one door out of an enclave, and what a kernel says to it."""
