# SPDX-License-Identifier: Apache-2.0
"""What is gone already, and what a policy that goes by tags says of it."""

from collections.abc import Callable

from lkcloud_aws.errors import code_of


def is_gone(error: Exception, look: Callable[[], object]) -> bool:
    """Tell whether ERROR, which came of a request about one thing, means that the thing is not there any more.

    What is gone has no tags, and where a policy allows only what has ours, EC2 may refuse instead of saying so
    (aws/karpenter-provider-aws#4527; not documented): then LOOK, which asks for the thing itself, tells.
    """
    code = code_of(error)
    if code != "UnauthorizedOperation":
        return _says_so(code)
    try:
        look()
    except Exception as found:
        return _says_so(code_of(found))
    return False


def _says_so(code: str) -> bool:
    return code.startswith("Invalid") and code.endswith((".NotFound", "AMIID.Unavailable", "AMIID.Malformed"))
