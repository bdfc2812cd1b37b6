# SPDX-License-Identifier: Apache-2.0
"""What cannot be copied or given to others, as far as the options alone tell.

"Encrypted snapshots ... cannot be made public. Snapshots encrypted with your default KMS key cannot be shared with
other accounts" (EC2 API reference, ModifySnapshotAttribute); the same goes for the images that stand on them
(opendevstack/ods-core#1062, hashicorp/packer#7410).
"""

from collections.abc import Iterator

from lkcloud.provider import Finding
from lkcloud_aws.options import AwsOptions


def validate(options: AwsOptions) -> Iterator[Finding]:
    """Yield what stands in the way of copying and sharing with OPTIONS."""
    yield from _copies(options)
    yield from _encryption(options)
    if options.share_snapshot:
        yield from _snapshots(options)


def _copies(options: AwsOptions) -> Iterator[Finding]:
    unknown = sorted(set(options.copy_optional) - {one.region for one in options.destinations})
    if unknown:
        yield Finding(
            f"--copy-optional names {', '.join(unknown)}, where nothing is copied to",
            "name regions of --copy-to, or leave it out",
        )
    for one in options.destinations:
        if one.region == options.region and one.key:
            yield Finding(
                f"the image itself is in {one.region}, and --copy-to gives it a key there",
                "encrypt the image with --encrypted --kms-key, or leave the region out of --copy-to",
            )


def _encryption(options: AwsOptions) -> Iterator[Finding]:
    encrypted = [one.region for one in options.destinations if one.key or options.encrypted]
    if options.public and (options.encrypted or encrypted):
        where = "" if options.encrypted else f" in {', '.join(encrypted)}"
        yield Finding(
            f"what is encrypted cannot be public, and the image is to be both{where}",
            "leave out --public, or all of --encrypted and the keys of --copy-to",
        )
    if not options.share_with:
        return
    hint = "name a key of your own, which those whom you share with may use"
    if options.encrypted and not options.kms_key:
        yield Finding(
            "an image that is encrypted with the account's default key cannot be shared", f"{hint}: --kms-key"
        )
    keyless = [one.region for one in options.destinations if options.encrypted and not one.key]
    default = [one.region for one in options.destinations if one.key.endswith("alias/aws/ebs")]
    if keyless or default:
        yield Finding(
            f"the copy in {', '.join([*keyless, *default])} would be encrypted with the account's default key, and "
            "could not be shared",
            f"{hint}: --copy-to REGION=KMS_KEY",
        )


def _snapshots(options: AwsOptions) -> Iterator[Finding]:
    accounts = [one for one in options.share_with if one.isdigit()]
    if not accounts and not options.public:
        yield Finding(
            "--share-snapshot has nobody to share it with: snapshots are shared with accounts, or with everybody",
            "name accounts in --share-with, give --public, or leave out --share-snapshot",
        )
    elif len(accounts) < len(options.share_with) and not options.public:
        yield Finding(
            "organizations and units get the image without its snapshot: they can start it and cannot copy it",
            "name their accounts in --share-with as well",
            obstacle=False,
        )
