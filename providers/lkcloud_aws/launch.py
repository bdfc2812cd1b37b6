# SPDX-License-Identifier: Apache-2.0
"""A test instance: started, its console read, always terminated."""

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lkcloud.errors import LkcloudError, Refused
from lkcloud.polling import poll
from lkcloud.provider import Image, Run
from lkcloud.reporting import Meter
from lkcloud.transfer.retry import Verdict, retry
from lkcloud_aws.errors import code_of, explain, fault, judge
from lkcloud_aws.gone import is_gone
from lkcloud_aws.naming import listed, tags_of
from lkcloud_aws.options import AwsOptions
from lkcloud_aws.session import Session

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import (
        DescribeInstancesResultTypeDef,
        InstanceNetworkInterfaceSpecificationTypeDef,
        RunInstancesRequestTypeDef,
    )

DEFAULT_TYPES = {"x86_64": "t3.micro", "arm64": "t4g.micro"}
"""Small Nitro types: only Nitro gives out the console while it is written."""

_NO_ROOM = ("InsufficientInstanceCapacity", "InsufficientHostCapacity", "Unsupported")
"""Errors of an availability zone; another one may do."""

_SETTLE = 60.0
"""Seconds for which one of EC2's hosts may not know yet what another has answered."""

_STATES = {
    "pending": "starting",
    "running": "running",
    "shutting-down": "stopped",
    "terminated": "stopped",
    "stopping": "stopped",
    "stopped": "stopped",
}

_OWN_END = ("Client.InstanceInitiatedShutdown", "Client.UserInitiatedShutdown", "User.Initiated", "")
"""Reasons of an end that is no failure: the guest powered off, or we ended it."""


@dataclass(frozen=True)
class Instance:
    """A test instance."""

    session: Session
    id: str
    started: float = field(default_factory=time.monotonic)

    def console(self) -> str:
        """Return what the serial console shows, at most its last 64 KiB."""
        ec2 = self.session.ec2
        try:
            try:
                answer = self.session.attempt(lambda: ec2.get_console_output(InstanceId=self.id, Latest=True))
            except Exception as error:
                # Types before Nitro give the console out once, some minutes after the start.
                if code_of(error) not in ("UnsupportedOperation", "Unsupported"):
                    raise
                answer = self.session.attempt(lambda: ec2.get_console_output(InstanceId=self.id))
        except Exception as error:
            if is_gone(error, self._look):
                return ""
            raise explain(error, f"reading the console of {self.id}") from error
        return answer.get("Output", "")

    def state(self) -> str:
        """Return `starting`, `running`, `stopped`, or `failed:` and AWS's reason."""
        try:
            answer = self.session.attempt(self._look)
        except Exception as error:
            if code_of(error) == "InvalidInstanceID.NotFound":
                return "starting" if self._young else "stopped"
            raise explain(error, f"looking at {self.id}") from error
        for reservation in answer["Reservations"]:
            for found in reservation["Instances"]:
                state = _STATES.get(found["State"]["Name"], "running")
                reason = found.get("StateReason", {})
                if state == "stopped" and reason.get("Code", "") not in _OWN_END:
                    return f"failed: {reason.get('Message') or reason['Code']}"
                return state
        return "starting" if self._young else "stopped"

    def terminate(self) -> None:
        """Terminate it; its volumes go with it. Again is no error."""

        def verdict(error: Exception) -> Verdict:
            # A new instance may not be known everywhere, and must not be left running for that.
            if code_of(error) == "InvalidInstanceID.NotFound" and self._young:
                return Verdict.TRANSIENT
            return judge(error)

        try:
            retry(
                lambda: self.session.ec2.terminate_instances(InstanceIds=[self.id]),
                judge=verdict,
                attempts=12,
                patience=120.0,
            )
        except Exception as error:
            if not is_gone(error, self._look):
                raise explain(error, f"terminating {self.id}") from error

    def _look(self) -> "DescribeInstancesResultTypeDef":
        return self.session.ec2.describe_instances(InstanceIds=[self.id])

    @property
    def _young(self) -> bool:
        return time.monotonic() < self.started + _SETTLE


def _terminate_after(error: BaseException, instance: Instance) -> None:
    """Terminate INSTANCE because of ERROR; if that fails too, ERROR gets a note that says so."""
    try:
        instance.terminate()
    except LkcloudError as other:
        error.add_note(f"the test instance {instance.id} may be running: {other.message}")
    except BaseException:  # a second Ctrl-C
        error.add_note(f"the test instance {instance.id} may be running")
        raise error from None


@dataclass(frozen=True)
class Launcher:
    """Starts instances from IMAGE.

    SEARCH is how many seconds an instance is looked for that may have been started without an answer.
    """

    session: Session
    options: AwsOptions
    image: Image
    search: float = 15.0

    def launch(self, run: Run) -> Instance:
        """Start one instance; where its availability zone has no room, in another one.

        Whatever is raised on the way, be it while the end of the stage is told, terminates it: nobody holds it yet.
        """
        started: list[Instance] = []
        try:
            with run.reporter.stage("launch") as meter:
                self._launch(started, meter)
            return started[-1]
        except BaseException as error:
            for instance in started:
                _terminate_after(error, instance)
            for note in getattr(error, "__notes__", ()):
                run.reporter.warn(note)
            raise

    def _launch(self, started: list[Instance], meter: Meter) -> None:
        refusal: Refused | None = None
        for subnet in self._subnets():
            meter.status(f"{self._type}{f' in {subnet}' if subnet else ''}")
            try:
                self._start(subnet, started)
            except Refused as error:
                if code_of(error.__cause__) not in _NO_ROOM:
                    raise
                refusal = refusal or error
            else:
                return
        message = refusal.message if refusal else "aws: there is no subnet to start in"
        raise Refused(message, hint="give another --instance-type or --subnet, or try again later")

    @property
    def _type(self) -> str:
        return self.options.instance_type or DEFAULT_TYPES.get(self.image.architecture, DEFAULT_TYPES["x86_64"])

    def _subnets(self) -> Iterator[str | None]:
        """Yield where to start: AWS's own choice, and after that each default subnet."""
        yield self.options.subnet
        if not self.options.subnet:
            answer = self.session.call(
                "looking for subnets",
                lambda: self.session.ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}]),
            )
            yield from (found["SubnetId"] for found in answer["Subnets"])

    def _start(self, subnet: str | None, started: list[Instance]) -> None:
        """Put the instance into STARTED: what is returned can get lost between two steps (Ctrl-C), this cannot."""
        request = self._request(subnet)
        began = time.monotonic()

        def verdict(error: Exception) -> Verdict:
            answer = fault(error)
            if answer and answer.code in _NO_ROOM:
                return Verdict.FATAL
            unknown = answer and answer.code in ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable")
            if unknown and time.monotonic() < began + _SETTLE:
                return Verdict.TRANSIENT
            return judge(error)

        try:
            answer = retry(
                lambda: self.session.ec2.run_instances(**request), judge=verdict, attempts=12, patience=120.0
            )
            started.append(Instance(self.session, answer["Instances"][0]["InstanceId"]))
        except BaseException as error:
            found = fault(error)
            told = error
            if isinstance(error, Exception):
                told = explain(error, "starting the test instance")
                if found and found.code in _NO_ROOM:
                    told = Refused(f"aws: {found.message}".rstrip("."), hint="give another --instance-type")
                elif found and found.code == "InvalidParameterCombination" and "(ENA)" in found.message:
                    told = Refused(told.message, hint=self._without_ena)
            # It may have been started although we have no answer, or do not wait for it any more (Ctrl-C).
            # Only an answer that says no means that most likely it was not.
            refused = isinstance(error, Exception) and found is not None and verdict(error) is Verdict.FATAL
            self._terminate_by_token(request["ClientToken"], told, search=0.0 if refused else self.search)
            if told is error:
                raise
            raise told from error

    @property
    def _without_ena(self) -> str:
        """The hint for an image that says it has no ENA driver, which all types but those on Xen need."""
        if self.image.architecture == "arm64":
            return "no arm64 type goes without ENA: register the image without --no-ena"
        return "give --instance-type t2.micro, which needs no ENA and boots by BIOS only"

    def _terminate_by_token(self, token: str, error: BaseException, *, search: float) -> None:
        """Terminate what a request with TOKEN has started, looking for it for SEARCH seconds.

        ERROR gets a note if that fails, or if nothing was found in a search: it may still come to be.
        """

        def look() -> bool | None:
            try:
                answer = self.session.ec2.describe_instances(Filters=[{"Name": "client-token", "Values": [token]}])
            except Exception as other:
                if judge(other) is Verdict.FATAL or not search:
                    raise explain(other, "looking for the test instance") from other
                return None
            ids = [found["InstanceId"] for one in answer["Reservations"] for found in one["Instances"]]
            for instance_id in ids:
                Instance(self.session, instance_id).terminate()
            return True if ids or not search else None

        try:
            poll(look, what="the test instance", every=0.5, limit=search, hint="see `aws ec2 describe-instances`")
        except LkcloudError as other:
            error.add_note(f"a test instance with the client token {token} may be running: {other.message}")
        except BaseException:  # a second Ctrl-C ends the search
            error.add_note(f"a test instance with the client token {token} may be running")
            raise error from None

    def _request(self, subnet: str | None) -> "RunInstancesRequestTypeDef":
        options, image = self.options, self.image
        own = tags_of(image.name, image.digest, options.tags)
        own["Name"] = f"lkcloud test of {image.name or image.id}"[:255]
        tags = listed(own)
        # Nothing of a test needs the network; an instance that nobody can reach is the safest.
        interface: InstanceNetworkInterfaceSpecificationTypeDef = {
            "DeviceIndex": 0,
            "AssociatePublicIpAddress": False,
            "DeleteOnTermination": True,
        }
        if subnet:
            interface["SubnetId"] = subnet
        if options.security_group:
            interface["Groups"] = [options.security_group]
        return {
            "ImageId": image.id,
            "InstanceType": self._type,  # type: ignore[typeddict-item]  # a name the user gives; AWS checks it
            "MinCount": 1,
            "MaxCount": 1,
            # Tests of one image are many; only attempts at the same one are the same.
            "ClientToken": uuid.uuid4().hex,
            "NetworkInterfaces": [interface],
            "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
            "InstanceInitiatedShutdownBehavior": "terminate",
            "TagSpecifications": [
                {"ResourceType": "instance", "Tags": tags},
                {"ResourceType": "volume", "Tags": tags},
            ],
        }
