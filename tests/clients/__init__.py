"""The clients for other languages and for other places, and what their tests share."""
