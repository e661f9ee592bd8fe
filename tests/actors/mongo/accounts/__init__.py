"""The store: what every one of them promises."""
