"""Makes an executed notebook harmless to look at; one jailed process a notebook, since it parses a kernel's words."""
