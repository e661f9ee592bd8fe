"""Events on their way to those who want to know, and the handlers that take them."""
