# SPDX-License-Identifier: Apache-2.0
"""What the options before the command said, for the whole process."""

from dataclasses import dataclass


@dataclass
class Settings:
    """How to speak to the user in this process."""

    verbose: bool = False
    quiet: bool = False
    json: bool = False
    cloud: str = ""
    """The cloud of the command, for an error that names its extra."""


SETTINGS = Settings()
