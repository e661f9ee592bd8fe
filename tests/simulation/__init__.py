"""The whole service in one process on virtual time, driven by a seed and held to its promises."""
