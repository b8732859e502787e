"""A Trust's images: read as bytes, de-identified, scanned again, kept, and frozen for a run's kernel."""
