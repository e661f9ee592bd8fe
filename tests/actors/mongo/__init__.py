"""What the adapter promises, on every MongoDB there is here."""
