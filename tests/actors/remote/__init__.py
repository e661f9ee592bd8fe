"""What is asked of Ray, as far as that can be tested without a cluster."""
