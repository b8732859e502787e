"""Images as a mapping of an estate: studies into rows, and rows to people."""
