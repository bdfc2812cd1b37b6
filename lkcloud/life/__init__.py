# SPDX-License-Identifier: Apache-2.0
"""The life of images after they are made: which are too many, which dates have passed, and what dead runs have left."""
