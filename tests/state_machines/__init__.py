"""The workflows' definitions, run in LocalStack's interpreter with the reference implementation of JSONata."""
