"""Values that many tests begin with: entries, documents, calls, lives of accounts."""
