"""What is stored is read back to what it was, whoever wrote it."""
