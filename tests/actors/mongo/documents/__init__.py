"""What documents look like, whichever store wrote them."""
