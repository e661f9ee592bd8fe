"""How long tests wait for what has to come: only a failure takes that long, on any machine."""

PATIENCE_SECONDS = 120.0  # For anything within one process, or one step of a service.
SERVICE_SECONDS = 600.0  # For a whole service to start or stop, a script or a command to end.
