"""Jobs: once each, when they are due."""
