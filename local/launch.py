"""Runs ministack with the patches of ``local.ministack_compat`` on 127.0.0.1 and the port in GATEWAY_PORT.

``local.embedded_cloud`` starts it with the Python of the cloud environment: ``python -m local.launch``. Its temporary
files are in TMPDIR, a separate directory.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

SHUTDOWN_SECONDS = 10.0

# ministack reads these when it is imported. By default, it listens on every interface, and for MQTT and SFTP too.
os.environ.update(
    BIND_HOST="127.0.0.1",
    MINISTACK_HOST="127.0.0.1",
    IOT_MTLS_ENABLED="0",
    SFTP_ENABLED="0",
    PERSIST_STATE="0",
    STATE_DIR=str(Path(os.environ["TMPDIR"], "state")),
)


def main() -> None:
    """Serve until terminated, or until the owner has ended without recording this process."""
    owner, record = int(os.environ.pop("EMBEDDED_CLOUD_OWNER")), Path(os.environ.pop("EMBEDDED_CLOUD_RECORD"))
    threading.Thread(target=_watch, args=(owner, record), daemon=True).start()
    try:
        _serve()
    finally:
        # Functions run in processes of this group.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
        _delete_files()


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


def _watch(owner: int, record: Path) -> None:
    # An owner that was killed can't stop what it started. An orphan gets another parent.
    while os.getppid() == owner or record.exists():
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SHUTDOWN_SECONDS)
    _delete_files()
    os.killpg(0, signal.SIGKILL)


def _delete_files() -> None:
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)


if __name__ == "__main__":
    main()
