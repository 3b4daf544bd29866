"""Messages from anyone who may send to a queue: hostile ones, through the whole chain of a run."""
