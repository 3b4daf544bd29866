"""The embedded cloud itself: what it does differently from ministack, and how it starts and ends."""
