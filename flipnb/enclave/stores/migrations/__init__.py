"""How each store of an enclave came to its schema, step by step: a step that was released is never changed."""
