"""Many files through release, one after the other, in processes of their own that may die of what they read."""
