"""The embedded cloud: the AWS services this project uses, on this machine, without an account or Docker.

``python -m local.cloud`` starts and stops it; the integration tests, the demo and the benchmarks use
:class:`local.embedded_cloud.EmbeddedCloud`.
"""
