"""Pictures in and out: reading, resizing, writing."""
