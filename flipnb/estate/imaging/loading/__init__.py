"""Loading images: files through release into the archive, and what became of them into an estate version."""
