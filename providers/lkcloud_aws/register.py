# SPDX-License-Identifier: Apache-2.0
"""An image made from a snapshot, once whatever happens: RegisterImage has no idempotency token."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lkcloud.errors import Conflict
from lkcloud.polling import poll
from lkcloud.provider import Image, Run, Source
from lkcloud.transfer.retry import Verdict, retry
from lkcloud_aws import firmware, images, uefi_data
from lkcloud_aws.errors import code_of, explain, fault, judge
from lkcloud_aws.naming import FAMILY, listed, tags_of
from lkcloud_aws.options import AwsOptions
from lkcloud_aws.session import Session

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import BlockDeviceMappingTypeDef, EbsBlockDeviceTypeDef, RegisterImageRequestTypeDef

_SETTLE = 60.0
"""Seconds for which one of EC2's hosts may not know yet what another has answered."""


@dataclass(frozen=True)
class Registration:
    """Registers SOURCE, whose bytes are in a snapshot."""

    session: Session
    options: AwsOptions
    source: Source

    def register(self, snapshot_id: str, run: Run) -> Image:
        """Return the image when it can be used; one of the same name and digest that is there is returned.

        Raises Conflict if the name is taken by other content.
        """
        with run.reporter.stage("register") as meter:
            image_id = self._existing() or self._register(snapshot_id)
            return images.wait(self.session, image_id, minutes=self.options.ready_timeout, meter=meter)

    def _existing(self) -> str | None:
        """Return the id of the image if it is there; one that has failed makes room."""
        found = images.find(self.session, self.source.name)
        if found is None:
            return None
        if found.digest != self.source.digest:
            # A list may still show what has just been deregistered (--replace).
            if images.get(self.session, found.id) is None:
                return None
            raise _taken(found)
        if found.state in images.FAILED:
            images.deregister(self.session, found.id)
            return None
        return found.id

    def _register(self, snapshot_id: str) -> str:
        request = self.request(snapshot_id)
        began = time.monotonic()

        def verdict(error: Exception) -> Verdict:
            if _not_known_yet(error) and time.monotonic() < began + _SETTLE:
                return Verdict.TRANSIENT
            return judge(error)

        try:
            answer = retry(
                lambda: self.session.ec2.register_image(**request), judge=verdict, attempts=12, patience=120.0
            )
        except Exception as error:
            answered = fault(error)
            if answered is None or answered.code != "InvalidAMIName.Duplicate":
                raise explain(error, "registering the image") from error
            return self._join(request)
        return answer["ImageId"]

    def _join(self, request: "RegisterImageRequestTypeDef") -> str:
        """Return the image that holds our name.

        Another run was faster, or the answer to our own attempt before was lost, or nobody holds it any more: for a
        while EC2 may refuse the name of an image that has just been deregistered (--replace). Then REQUEST is made
        again.
        """

        def attempt() -> str | None:
            if existing := self._existing():
                return existing
            try:
                return self.session.attempt(lambda: self.session.ec2.register_image(**request))["ImageId"]
            except Exception as error:
                if code_of(error) == "InvalidAMIName.Duplicate" or _not_known_yet(error):
                    return None
                raise explain(error, "registering the image") from error

        return poll(
            attempt,
            what=f"the other image called {self.source.name}",
            every=0.5,
            limit=_SETTLE,
            hint="run the same command again",
        )

    def request(self, snapshot_id: str) -> "RegisterImageRequestTypeDef":
        """Return what RegisterImage is asked for.

        Nothing that matters is left to its defaults, which are i386 and paravirtual.
        """
        options, source = self.options, self.source
        tags = tags_of(source.name, source.digest, options.tags)
        if options.family:
            tags[FAMILY] = options.family
        request: RegisterImageRequestTypeDef = {
            "Name": source.name,
            "Architecture": firmware.architecture(options, source.facts),
            "BootMode": firmware.boot_mode(options, source.facts),
            "VirtualizationType": "hvm",
            "RootDeviceName": options.root_device_name,
            "BlockDeviceMappings": [self._root(snapshot_id), *self._data_volumes()],
            "EnaSupport": options.ena,
            "TagSpecifications": [{"ResourceType": "image", "Tags": listed(tags)}],
        }
        if source.description:
            request["Description"] = source.description
        if options.sriov:
            request["SriovNetSupport"] = "simple"
        if options.imdsv2:
            request["ImdsSupport"] = "v2.0"
        if options.tpm:
            request["TpmSupport"] = "v2.0"
        if options.uefi_data:
            request["UefiData"] = uefi_data.read(options.uefi_data)
        return request

    def _root(self, snapshot_id: str) -> "BlockDeviceMappingTypeDef":
        options = self.options
        # Encrypted must not be set beside a snapshot: the snapshot says whether it is.
        volume: EbsBlockDeviceTypeDef = {
            "SnapshotId": snapshot_id,
            "VolumeType": options.volume_type,
            "DeleteOnTermination": True,
        }
        if options.volume_size:
            volume["VolumeSize"] = options.volume_size
        if options.iops:
            volume["Iops"] = options.iops
        if options.throughput:
            volume["Throughput"] = options.throughput
        return {"DeviceName": options.root_device_name, "Ebs": volume}

    def _data_volumes(self) -> "list[BlockDeviceMappingTypeDef]":
        mappings: list[BlockDeviceMappingTypeDef] = []
        for volume in self.options.data_volumes:
            device: EbsBlockDeviceTypeDef = {
                "VolumeSize": volume.size,
                "VolumeType": volume.type,
                "DeleteOnTermination": True,
            }
            if self.options.encrypted:
                # RegisterImage takes no KmsKeyId here (EbsBlockDevice, KmsKeyId): it is the account's default key.
                device["Encrypted"] = True
            mappings.append({"DeviceName": volume.device, "Ebs": device})
        return mappings


def _not_known_yet(error: Exception) -> bool:
    """Tell whether EC2 speaks of a snapshot that it has itself shown as completed a moment ago."""
    answer = fault(error)
    return answer is not None and (
        answer.code in ("InvalidSnapshot.NotFound", "IncorrectState") or "state - pending" in answer.message
    )


def _taken(found: Image) -> Conflict:
    return Conflict(
        f"aws: the name {found.name} is taken by {found.id}, with other content",
        hint="give --replace to put this image in its place, or choose another --name",
    )
