"""What MOSS is measured against."""
