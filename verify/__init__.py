"""Proves that a deployed stack does what it promises, in an account or on an emulator: `make verify STACK=…`.

It needs boto3 and public AWS APIs only, and imports nothing of the redrive, so that it can't share its mistakes. The
end-to-end tests play the same scenarios.
"""
