"""A Trust's part in runs, from the hub's task to the end of the kernel."""
