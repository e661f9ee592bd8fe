"""Who may call: keys and tokens, at the moment they count and the one they end."""
