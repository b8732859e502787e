"""What lies on a disk: files that are whole or not there, blobs by their digest, logs; migrations of stores.

Imports nothing of ours.
"""
