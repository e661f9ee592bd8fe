"""The actors, one file each as a plain class, and the adapters to what is outside."""
