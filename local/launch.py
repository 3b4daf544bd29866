"""Runs ministack, made to fit by ``local.ministack_compat``, on 127.0.0.1 and the port in GATEWAY_PORT.

``local.embedded_cloud`` starts it with the Python of the cloud environment: ``python -m local.launch``.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time

# ministack reads these when it is imported. Without them it listens on every interface, and for MQTT and SFTP
# too.
os.environ.update(
    BIND_HOST="127.0.0.1",
    MINISTACK_HOST="127.0.0.1",
    IOT_MTLS_ENABLED="0",
    SFTP_ENABLED="0",
    PERSIST_STATE="0",
)


def main() -> None:
    """Serve until terminated, or until the process named in EMBEDDED_CLOUD_OWNER has ended."""
    # Every worker process unpacks the code of its function into a temporary directory that ministack leaves
    # behind.
    files = tempfile.mkdtemp(prefix="embedded-cloud-")
    os.environ["TMPDIR"] = tempfile.tempdir = files
    owner = os.environ.pop("EMBEDDED_CLOUD_OWNER", None)
    if owner:
        threading.Thread(target=_end_with, args=(int(owner), files), daemon=True).start()
    try:
        _serve()
    finally:
        shutil.rmtree(files, ignore_errors=True)


def _serve() -> None:
    # Imported this late because ministack reads the environment while it is imported.
    from local import ministack_compat  # noqa: PLC0415

    try:
        ministack_compat.apply()
    except ministack_compat.fit.MinistackMisfitError as error:
        sys.exit(str(error))
    from ministack import app  # noqa: PLC0415

    sys.argv = sys.argv[:1]
    app.main()


def _end_with(owner: int, files: str) -> None:
    # A test run that is killed cannot stop what it has started; an orphan gets another parent.
    while os.getppid() == owner:
        time.sleep(1)
    shutil.rmtree(files, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()
