"""What an operator requests and the plan made from it, or the reason it is refused.

May import `rules` and everything to its left.
"""
