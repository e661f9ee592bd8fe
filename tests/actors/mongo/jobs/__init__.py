"""The janitor's work on documents."""
