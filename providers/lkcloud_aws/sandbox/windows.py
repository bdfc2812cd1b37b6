# SPDX-License-Identifier: Apache-2.0
"""How long things take in the stand-in, and its limits: short by default, and a test may set them."""

from dataclasses import dataclass
from typing import Literal

from lkcloud_aws.sandbox.iam_policy import Document


@dataclass(slots=True)
class Windows:
    """Times in seconds unless said otherwise."""

    unseen_puts: int = 1
    """How many PutSnapshotBlock or CompleteSnapshot after StartSnapshot find no such snapshot yet
    (awslabs/coldsnap#43)."""
    unseen_describes: int = 1
    """How many calls that name a new image or snapshot find none yet (EC2's eventual consistency); of an imported
    snapshot, how many CreateTags."""
    snapshot_pending: float = 0.2
    """From CompleteSnapshot to `completed`."""
    image_pending: float = 0.2
    """From RegisterImage or CopyImage to `available`."""
    name_held: float = 0.1
    """From DeregisterImage until another image can have the name. That there is such a time is not documented."""
    import_step: float = 0.05
    """Each of the steps of an import task."""
    instance_pending: float = 0.1
    """From RunInstances to `running`."""
    minute: float = 60.0
    """The minute in which StartSnapshot's Timeout counts."""
    block_token: float = 7 * 24 * 3600.0
    """How long the block tokens of ListSnapshotBlocks are good."""
    page_size: int = 1000
    """The longest page of anything, where the client does not ask for a shorter one."""
    unseen_permissions: int = 1
    """How many DescribeImageAttribute or DescribeSnapshotAttribute after a change still show what was before
    (https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html)."""
    protection_cooldown: float = 24 * 3600.0
    """From the end of a protection with a cooldown until the image can be deregistered."""
    parameter_validation: float = 0.1
    """From PutParameter with the data type aws:ec2:image until the parameter has the value, if it ever has."""
    public_images: int = 5
    """Quota L-0E3CBAB9 of a region, as new accounts have it (NixOS/amis#37)."""
    snapshot_copies: int = 20
    """Quota of snapshot copies at work in a region: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-copy-snapshot.html"""
    snapshots: int = 100_000
    """Quota L-309BACF6 of a region, Snapshots per Region."""
    pending_snapshots: int = 100
    """Quota of snapshots that have been started and not completed."""
    import_refused_by: Literal["call", "task"] = "call"
    """Who says that role, bucket or object of an import cannot be used: ImportSnapshot itself, as clients report it
    (confidential-containers/cloud-api-adaptor#587 and #3287), or the task, which then ends as `deleted`."""
    policies: tuple[Document, ...] = ()
    """IAM policies of whoever asks; without any, everything is allowed."""
    caller: str = ""
    """ARN of whoever asks, in what GetCallerIdentity answers; "" = the user of the stand-in."""
