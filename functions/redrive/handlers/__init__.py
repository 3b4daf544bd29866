"""One module per Lambda function, and only what template.yaml names: parse the event, call one step, return a model.

May import everything else in `redrive`; nothing imports it.
"""

import gc

from redrive.package_mismatch import check_package

# What modules make when they're imported stays, so looking for garbage among it only takes time: a tenth of a cold
# start. Each handler's module ends with `started`.
gc.disable()
check_package()
