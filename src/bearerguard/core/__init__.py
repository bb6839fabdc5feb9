"""The waiting: short coroutines that await only the ports they are handed."""
