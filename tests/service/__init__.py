"""The whole service, started and used as its users do. One service for the whole run."""
