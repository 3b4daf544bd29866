"""Sends the redrive's reports and alarms to a chat channel.

Optional: template.yaml deploys it if a Slack channel or a webhook is given. See docs/guides/chat.md.
"""

from redrive.package_mismatch import check_package

check_package()
