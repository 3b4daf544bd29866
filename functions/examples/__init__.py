"""Examples: a producer, a consumer, and their contract, one folder each.

May import `redrive.contracts` and what the redrive publishes in `redrive.domain`: messages and reports. Nothing imports
the examples; a deployment names their contracts in its settings.
"""

from redrive.package_mismatch import check_package

check_package()
