"""What a message must be to be worth processing: one contract for each kind of message.

Consumers parse with a contract before they work; the redrive judges dead letters with the same one.
"""
