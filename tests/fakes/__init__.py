"""Stand-ins written by hand. They pass the same contract suites as what they stand for."""
