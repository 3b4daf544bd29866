"""The stories that the deployed app is shown with: a module each, with a function `play(stage)`.

`local.scenario` finds them by their names; `local.demo` plays some of them one after the other.
"""
