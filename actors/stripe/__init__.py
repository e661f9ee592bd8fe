"""Stripe: events in, what they mean, and the commands they become."""
