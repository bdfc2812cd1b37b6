# SPDX-License-Identifier: Apache-2.0
"""The key that encrypts what is encrypted and names none; whether all is encrypted is moto's.

https://docs.aws.amazon.com/ebs/latest/userguide/encryption-by-default.html
"""

from lkcloud_aws.sandbox.ec2_protocol import Call, Handler, Result
from lkcloud_aws.sandbox.errors import ApiError

AWS_KEY = "alias/aws/ebs"
"""The key that AWS manages."""


def _get(call: Call) -> Result:
    call.stop_if_dry_run()
    return {"KmsKeyId": call.region.default_key or AWS_KEY}


def _modify(call: Call) -> Result:
    named = call.needed("KmsKeyId")
    key = call.cloud.moto.kms_key(call.region.name, named)
    if key is None:
        raise ApiError("InvalidKmsKeyId.NotFound", f"The KMS key {named} cannot be used")
    call.stop_if_dry_run()
    call.region.default_key = key
    return {"KmsKeyId": key or AWS_KEY}


def _reset(call: Call) -> Result:
    call.stop_if_dry_run()
    call.region.default_key = ""
    return {"KmsKeyId": AWS_KEY}


OPERATIONS: dict[str, Handler] = {
    "GetEbsDefaultKmsKeyId": _get,
    "ModifyEbsDefaultKmsKeyId": _modify,
    "ResetEbsDefaultKmsKeyId": _reset,
}
