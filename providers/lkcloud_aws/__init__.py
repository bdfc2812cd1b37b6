# SPDX-License-Identifier: Apache-2.0
"""Amazon Web Services: `lkcloud push aws`."""

from lkcloud_aws.options import AwsOptions
from lkcloud_aws.provider import Aws

__all__ = ["Aws", "AwsOptions"]
