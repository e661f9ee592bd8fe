"""The bundled server: it keeps what it was given, whatever is done to it."""
