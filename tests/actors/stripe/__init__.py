"""What Stripe's events come to."""
