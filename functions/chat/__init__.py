"""Sends the redrive's reports and alarms to a chat channel.

Optional: template.yaml deploys it if a Slack channel or a webhook is given. See docs/guides/chat.md.
"""

# It checks first that the package's native code runs here.
import redrive as redrive
