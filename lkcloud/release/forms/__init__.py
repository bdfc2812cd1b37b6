# SPDX-License-Identifier: Apache-2.0
"""The manifest in forms that others read already: each is a pure function of a manifest, in a module of its own."""
