"""The hub: studies, runs, tasks and global models outside every hospital. It relays; it vouches for nothing."""
