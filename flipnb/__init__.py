"""FLIP workbench: federated learning from a notebook, on data that never leaves the hospital."""
