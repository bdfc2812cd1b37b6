# SPDX-License-Identifier: Apache-2.0
"""An empty Azure for each test, the SDK's clients, and requests of no client at all."""

from tests.azure_standin import azure, connected, serving_azure, session

__all__ = ["azure", "connected", "serving_azure", "session"]
