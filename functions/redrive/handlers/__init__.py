"""One module per Lambda function of template.yaml. Each handler parses the event, calls one step, and returns a model.

Handlers may import everything else in `redrive`, and nothing imports them.
"""

import gc

from redrive.package_mismatch import check_package

# What modules create on import stays, so collecting garbage there would waste a tenth of a cold start. Each handler's
# module ends with `started`, which turns collection back on.
gc.disable()
check_package()
