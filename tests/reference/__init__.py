"""The accounting of the contract, written a second time and as plainly as possible, to judge `domain/` by."""
