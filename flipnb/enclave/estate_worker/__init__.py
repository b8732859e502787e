"""The process that reads the estate: counts and freezing. It has no network and sees no key but a study's own."""
