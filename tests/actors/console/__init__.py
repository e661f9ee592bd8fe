"""What commands print, and what they send."""
