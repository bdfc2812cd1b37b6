# SPDX-License-Identifier: Apache-2.0
"""What clouds want: one module a format, each turns a disk into a layout."""
