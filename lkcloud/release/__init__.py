# SPDX-License-Identifier: Apache-2.0
"""One file to every cloud: what release.yaml says, the plan, the run, and the manifest of what exists."""
