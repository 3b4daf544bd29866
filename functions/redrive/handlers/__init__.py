"""One module per Lambda function, and only what template.yaml names: parse the event, call one step, return a model.

May import everything else in `redrive`; nothing imports it.
"""

from redrive.package_mismatch import check_package

check_package()
