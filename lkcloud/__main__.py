# SPDX-License-Identifier: Apache-2.0
"""`python -m lkcloud` is `lkcloud`."""

from lkcloud.cli.main import main

main()
