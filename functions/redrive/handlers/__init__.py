"""One module for each Lambda of the workflow: parse the event, call one function, return a model.

Called by the states of statemachines/redrive.asl.yaml, by name in template.yaml.
"""
