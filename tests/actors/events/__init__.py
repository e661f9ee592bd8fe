"""Events: in order, until they are taken."""
