"""What a redrive is and what it decides: plain functions and values; time, randomness, and I/O come in as arguments.

Its packages build on each other in one direction: messages, rules, plan, judging, then moving and sampling, runs,
page, automatic. May import `redrive.contracts`; never boto3, Powertools, or anything above.
"""
