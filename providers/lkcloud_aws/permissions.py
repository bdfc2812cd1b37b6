# SPDX-License-Identifier: Apache-2.0
"""What AWS must allow whoever uses lkcloud, and the role of VM Import. `policy` makes documents of it.

The list follows from the calls that are made; which actions AWS asks for with each is that of the Service Authorization
Reference (https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html),
which also tells what a policy can narrow them to. Asking who we are needs no permission.
"""

from collections.abc import Mapping

from lkcloud.permissions import Permission
from lkcloud_aws.naming import DIGEST

USES: Mapping[str, str] = {
    "ebs": "`push` with `--method ebs`",
    "import": "`push` with `--method import`",
    "encrypt": "`--kms-key`, and keys of `--copy-to`",
    "disk": "a disk that is an object, `s3://...`",
    "check": "to have checked before the upload what is to become of the image",
    "doctor": "to have `doctor` see what it asks of IAM, buckets and quotas",
    "test": "`--test`, `test`",
    "copy": "`--copy-to`, `copy`",
    "share": "`--share-with`, `--public`, `share`",
    "share-snapshot": "`--share-snapshot`",
    "promote": "`--ssm-parameter`, `promote`",
    "protect": "`--deregistration-protection`, `protect`",
    "deprecate": "`deprecate`",
    "list": "`list`, `show`",
    "delete": "`delete`",
    "prune": "`prune`",
    "sweep": "`sweep`",
    "gc": "`gc`",
}
"""What needs permissions, and how the user calls it."""

ON: Mapping[str, tuple[str, ...]] = {
    "any": ("*",),
    "image": ("arn:{partition}:ec2:*::image/*",),
    "snapshot": ("arn:{partition}:ec2:*::snapshot/*",),
    "image and snapshot": ("arn:{partition}:ec2:*::image/*", "arn:{partition}:ec2:*::snapshot/*"),
    "instance": ("arn:{partition}:ec2:*:{account}:instance/*",),
    "launch": (
        "arn:{partition}:ec2:*::image/*",
        "arn:{partition}:ec2:*::snapshot/*",
        "arn:{partition}:ec2:*:{account}:network-interface/*",
        "arn:{partition}:ec2:*:{account}:security-group/*",
        "arn:{partition}:ec2:*:{account}:subnet/*",
        "arn:{partition}:ec2:*:{account}:volume/*",
    ),
    "tagged at launch": ("arn:{partition}:ec2:*:{account}:instance/*", "arn:{partition}:ec2:*:{account}:volume/*"),
    "import": ("arn:{partition}:ec2:*::snapshot/*", "arn:{partition}:ec2:*:{account}:import-snapshot-task/*"),
    "import task": ("arn:{partition}:ec2:*:{account}:import-snapshot-task/*",),
    "bucket": ("arn:{partition}:s3:::{bucket}",),
    "object": ("arn:{partition}:s3:::{bucket}/*",),
    "source": ("arn:{partition}:s3:::{source}/*",),
    "role": ("arn:{partition}:iam::{account}:role/{role}",),
    "parameter": ("arn:{partition}:ssm:*:{account}:parameter/{parameter}",),
    "quota": (
        "arn:{partition}:servicequotas:*:{account}:ec2/L-0E3CBAB9",
        "arn:{partition}:servicequotas:*:{account}:ebs/L-309BACF6",
    ),
    "key": ("{key}",),
}
"""Where a policy can give an action, as ARNs with places to fill in. Snapshots and images have no account there."""

CONDITIONS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "own": {"Null": {f"aws:ResourceTag/{DIGEST}": "false"}},
    "small": {"StringEquals": {"ec2:InstanceType": "{instance_type}"}},
    "import": {"StringEquals": {"iam:PassedToService": "vmie.amazonaws.com"}},
    "grant": {"Bool": {"kms:GrantIsForAWSResource": "true"}},
    "references": {"ForAnyValue:StringEquals": {"aws:CalledVia": "ec2-images.amazonaws.com"}},
}
"""What narrows further.

`own`: what lkcloud has made, by its tag. `small`: types for boot tests. `import`: for VM Import alone. `grant`: for a
service of AWS that encrypts. `references`: what EC2 asks in our name to see what uses an image, as in AWS's own policy
AmazonEC2ImageReferencesAccessPolicy (https://docs.aws.amazon.com/aws-managed-policy/latest/reference/).
"""

SMALL = ("t3.nano", "t3.micro", "t3.small", "t4g.nano", "t4g.micro", "t4g.small", "t2.micro")
"""Types for boot tests: those that `test` takes of itself, and their neighbours; t2 for images without ENA."""

_PUSH = ("ebs", "import")
_EVERY = tuple(one for one in USES if one not in ("encrypt", "disk", "doctor"))
_HELD = ("prune", "sweep")
"""What looks first whether something uses an image."""

PERMISSIONS = (
    # The image and what it stands on
    Permission("ec2:DescribeImages", "any", _EVERY),
    Permission("ec2:DescribeSnapshots", "any", (*_PUSH, "copy", "delete", "gc"), ("doctor",)),
    Permission("ec2:RegisterImage", "image and snapshot", _PUSH),
    Permission("ec2:DeregisterImage", "image", (*_PUSH, "copy", "delete", "prune", "sweep"), condition="own"),
    # A snapshot that was imported has no tag until a push looks after it, and is not deleted with this before that.
    Permission("ec2:DeleteSnapshot", "snapshot", ("ebs", "copy", "delete", "prune", "sweep", "gc"), condition="own"),
    Permission("ec2:CreateTags", "image and snapshot", (*_PUSH, "copy", "deprecate", "prune", "sweep")),
    Permission("ec2:DeleteTags", "image", ("deprecate",), condition="own"),
    Permission("ec2:GetEbsEncryptionByDefault", "any", _PUSH, ("check",)),
    Permission("ec2:DescribeRegions", "any", ("copy",), _PUSH),
    # The ways to a snapshot
    Permission("ebs:StartSnapshot", "snapshot", ("ebs",)),
    Permission("ebs:PutSnapshotBlock", "snapshot", ("ebs",)),
    Permission("ebs:CompleteSnapshot", "snapshot", ("ebs",)),
    Permission("ec2:ImportSnapshot", "import", ("import",)),
    Permission("ec2:CreateTags", "import task", ("import",)),
    Permission("ec2:DescribeImportSnapshotTasks", "any", ("import", "delete", "gc")),
    Permission("ec2:CancelImportTask", "import task", ("delete", "gc"), condition="own"),
    # Not among what AWS says ImportSnapshot needs; users have said that it was (aws/aws-sdk#808).
    Permission("iam:PassRole", "role", (), ("import",), "import"),
    Permission("iam:GetRole", "role", (), ("import", "doctor")),
    Permission("s3:ListBucket", "bucket", ("import", "delete", "gc")),
    Permission("s3:ListBucketMultipartUploads", "bucket", ("import", "delete", "gc")),
    Permission("s3:PutObject", "object", ("import",)),
    Permission("s3:GetObject", "object", ("import",)),
    Permission("s3:ListMultipartUploadParts", "object", ("import",)),
    Permission("s3:AbortMultipartUpload", "object", ("import", "delete", "gc")),
    Permission("s3:DeleteObject", "object", ("delete", "gc"), ("import",)),
    Permission("s3:GetObject", "source", ("disk",)),
    # Encryption. What EBS asks of the caller, and Encrypt, which AWS gives the role of VM Import beside them:
    # https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html#ebs-encryption-permissions
    Permission("kms:DescribeKey", "key", ("encrypt",)),
    Permission("kms:Encrypt", "key", (), ("encrypt",)),
    Permission("kms:Decrypt", "key", ("encrypt",)),
    Permission("kms:GenerateDataKey*", "key", ("encrypt",)),
    Permission("kms:ReEncrypt*", "key", ("encrypt",)),
    Permission("kms:CreateGrant", "key", ("encrypt",), condition="grant"),
    # The boot test
    Permission("ec2:RunInstances", "launch", ("test",)),
    Permission("ec2:RunInstances", "instance", ("test",), condition="small"),
    Permission("ec2:CreateTags", "tagged at launch", ("test",)),
    Permission("ec2:DescribeInstances", "any", ("test",), ("delete", "gc")),
    Permission("ec2:DescribeSubnets", "any", ("test",)),
    Permission("ec2:GetConsoleOutput", "instance", ("test",), condition="own"),
    Permission("ec2:TerminateInstances", "instance", ("test", "delete", "gc"), condition="own"),
    # To other regions and to others
    Permission("ec2:CopyImage", "image and snapshot", ("copy",)),
    Permission("ec2:DescribeImageAttribute", "image", ("copy", "share")),
    Permission("ec2:DescribeSnapshotAttribute", "snapshot", ("copy", "share-snapshot")),
    Permission("ec2:ModifyImageAttribute", "image", ("share", "copy")),
    Permission("ec2:ModifySnapshotAttribute", "snapshot", ("share-snapshot", "copy"), condition="own"),
    Permission("ec2:GetImageBlockPublicAccessState", "any", (), ("check",)),
    Permission("ec2:GetSnapshotBlockPublicAccessState", "any", (), ("check",)),
    Permission("ec2:GetEbsDefaultKmsKeyId", "any", (), ("check",)),
    Permission("servicequotas:GetServiceQuota", "quota", (), ("check", "doctor")),
    Permission("ssm:GetParameters", "parameter", ("promote",)),
    Permission("ssm:PutParameter", "parameter", ("promote",)),
    # What tells of the account
    Permission("iam:SimulatePrincipalPolicy", "any", (), ("doctor",)),
    Permission("s3:GetBucketPublicAccessBlock", "bucket", (), ("doctor",)),
    # The end
    Permission("ec2:EnableImageDeprecation", "image", ("deprecate", "copy"), condition="own"),
    Permission("ec2:DisableImageDeprecation", "image", ("deprecate",), condition="own"),
    Permission("ec2:EnableImage", "image", ("deprecate",), condition="own"),
    Permission("ec2:DisableImage", "image", ("deprecate", "prune", "sweep"), condition="own"),
    Permission("ec2:ResetSnapshotAttribute", "snapshot", ("prune",), condition="own"),
    Permission("ec2:EnableImageDeregistrationProtection", "image", ("protect",), condition="own"),
    Permission("ec2:DisableImageDeregistrationProtection", "image", ("protect",), condition="own"),
    Permission("ec2:DescribeImageReferences", "any", _HELD),
    Permission("ec2:DescribeInstances", "any", _HELD, condition="references"),
    Permission("ec2:DescribeLaunchTemplates", "any", _HELD, condition="references"),
    Permission("ec2:DescribeLaunchTemplateVersions", "any", _HELD, condition="references"),
    Permission("ssm:DescribeParameters", "any", _HELD, condition="references"),
    Permission("ssm:GetParameters", "any", _HELD, condition="references"),
    Permission("imagebuilder:ListImageRecipes", "any", _HELD, condition="references"),
    Permission("imagebuilder:ListContainerRecipes", "any", _HELD, condition="references"),
    Permission("imagebuilder:GetContainerRecipe", "any", _HELD, condition="references"),
)

IMPORT_USES: Mapping[str, str] = {"import": "reading the bucket", "encrypt": "`--kms-key`"}
"""What the role of VM Import does."""

IMPORT_ROLE = (
    Permission("s3:GetBucketLocation", "bucket", ("import",)),
    Permission("s3:ListBucket", "bucket", ("import",)),
    Permission("s3:GetObject", "object", ("import",)),
    Permission("ec2:ModifySnapshotAttribute", "any", ("import",)),
    Permission("ec2:CopySnapshot", "any", ("import",)),
    Permission("ec2:RegisterImage", "any", ("import",)),
    Permission("ec2:Describe*", "any", ("import",)),
    *(one for one in PERMISSIONS if one.on == "key"),
)
"""What the role must be allowed that VM Import assumes.

https://docs.aws.amazon.com/vm-import/latest/userguide/required-permissions.html, without what it has for exports.
"""
