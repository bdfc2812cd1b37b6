# SPDX-License-Identifier: Apache-2.0
"""A test instance: started, its console read, always removed."""

import re
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lkcloud.errors import LkcloudError, NotFound, Refused, UsageError
from lkcloud.polling import poll
from lkcloud.provider import Image, Run
from lkcloud.reporting import Meter
from lkcloud.transfer.retry import Verdict, retry
from lkcloud_gcp import naming, operations
from lkcloud_gcp.errors import GcpFault, explain, fault, judge
from lkcloud_gcp.options import GcpOptions
from lkcloud_gcp.session import Session

if TYPE_CHECKING:
    from google.cloud import compute_v1

DEFAULT_TYPES = {"X86_64": "e2-small", "ARM64": "t2a-standard-1"}
"""Small types of each architecture; the Arm one has persistent disks and one processor
(https://cloud.google.com/compute/docs/general-purpose-machines)."""

_NO_ROOM = re.compile(r"RESOURCE_POOL_EXHAUSTED|STOCKOUT|RESOURCE_EXHAUSTED|resourcePoolExhausted")
"""https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-resource-availability."""

_NOT_READY = "resourceNotReady"
"""Another operation is at work on the instance, or it does not run any more."""

_STARTING = 600.0
_REMOVING = 600.0
"""Seconds to wait for the operations that make and remove an instance."""

_STATES = {
    "PROVISIONING": "starting",
    "STAGING": "starting",
    "PENDING": "starting",
    "RUNNING": "running",
    "REPAIRING": "failed: the instance is being repaired",
    "PENDING_STOP": "stopped",
    "STOPPING": "stopped",
    "STOPPED": "stopped",
    "TERMINATED": "stopped",
    "DEPROVISIONING": "stopped",
    "SUSPENDING": "stopped",
    "SUSPENDED": "stopped",
}
"""https://cloud.google.com/compute/docs/instances/instance-life-cycle; a guest that powers off is TERMINATED."""


@dataclass
class _Console:
    """What the serial console has shown: Google keeps the last MiB, and gives out nothing when the guest is off."""

    text: str = ""
    next: int = 0


@dataclass(frozen=True)
class Instance:
    """A test instance called NAME in ZONE."""

    session: Session
    zone: str
    name: str
    _console: _Console = field(default_factory=_Console, repr=False, compare=False)

    @property
    def id(self) -> str:
        """The instance's name with project and zone, as URLs and gcloud have it."""
        return f"projects/{self.session.project}/zones/{self.zone}/instances/{self.name}"

    def console(self) -> str:
        """Return what the first serial port has shown, from the start if this is asked before Google drops any."""
        from google.cloud import compute_v1

        request = compute_v1.GetSerialPortOutputInstanceRequest(
            project=self.session.project, zone=self.zone, instance=self.name, port=1, start=self._console.next
        )
        try:
            answer = self.session.attempt(
                lambda **how: self.session.instances.get_serial_port_output(request=request, **how)
            )
        except Exception as error:
            if not _is_gone(error) and not _is_not_ready(error):
                raise _told(error, f"reading the console of {self.name}") from error
            return self._console.text
        if answer.start > self._console.next and self._console.text:
            self._console.text += "\n"  # what came between is lost: two lines must not become one
        self._console.text += answer.contents
        self._console.next = answer.next_
        return self._console.text

    def state(self) -> str:
        """Return `starting`, `running`, `stopped`, or `failed:` and Google's reason."""
        try:
            shown = self.session.attempt(
                lambda **how: self.session.instances.get(
                    project=self.session.project, zone=self.zone, instance=self.name, **how
                )
            )
        except Exception as error:
            if _is_gone(error):
                return "stopped"
            raise _told(error, f"looking at {self.name}") from error
        return _STATES.get(shown.status, "running")

    def terminate(self) -> None:
        """Remove it with its disk, and wait until it is gone. Again is no error."""
        self.remove(search=0.0)

    def remove(self, *, search: float) -> None:
        """Remove it and wait until it is gone; if it is not there, look for it for SEARCH seconds.

        Raises Unreachable if it has not been seen in all of them.
        """
        from google.cloud import compute_v1

        request = compute_v1.DeleteInstanceRequest(
            project=self.session.project, zone=self.zone, instance=self.name, request_id=str(uuid.uuid4())
        )
        doing = f"removing {self.name}"

        def verdict(error: Exception) -> Verdict:
            return Verdict.TRANSIENT if _is_not_ready(error) else judge(error)

        def look() -> "list[compute_v1.Operation] | None":
            try:
                operation = retry(
                    lambda: self.session.instances.delete_unary(request=request, timeout=60.0, retry=None),
                    judge=verdict,
                    attempts=20,
                    patience=120.0,
                )
            except Exception as error:
                if not _is_gone(error):
                    raise _told(error, doing) from error
                return None if search else []
            return [operation]

        for operation in poll(look, what=doing, every=0.5, limit=search, hint="see `gcloud compute instances list`"):
            with suppress(NotFound):  # somebody else was quicker
                operations.wait(self.session, operation, doing=doing, limit=_REMOVING)


@dataclass(frozen=True)
class Launcher:
    """Starts instances from IMAGE.

    SEARCH is how many seconds an instance is looked for that may have been made without an answer.
    """

    session: Session
    options: GcpOptions
    image: Image
    search: float = 15.0

    def launch(self, run: Run) -> Instance:
        """Start one instance and wait until Google has found room for it.

        Whatever is raised on the way, be it while the end of the stage is told, removes it: nobody holds it yet.
        Raises Refused where the zone has no room, and what Google says otherwise.
        """
        instance = Instance(self.session, self.options.zone, f"lkcloud-test-{uuid.uuid4().hex[:16]}")
        request = self._request(instance)
        sent: list[str] = []
        try:
            with run.reporter.stage("launch") as meter:
                self._start(request, sent, meter)
            return instance
        except BaseException as error:
            if sent:
                self._remove_after(error, instance)
            for note in getattr(error, "__notes__", ()):
                run.reporter.warn(note)
            raise

    def _start(self, request: "compute_v1.InsertInstanceRequest", sent: list[str], meter: Meter) -> None:
        """Start it; SENT gets its name for each request that may have made it, whatever is raised."""
        doing = "starting the test instance"
        meter.status(f"{self._type} in {self.options.zone}")

        def ask(*, timeout: float, retry: None) -> "compute_v1.Operation":
            sent.append(request.instance_resource.name)
            return self.session.instances.insert_unary(request=request, timeout=timeout, retry=retry)

        try:
            # With the same requestId a second attempt makes no second instance.
            operation = self.session.attempt(ask)
        except Exception as error:
            answer = fault(error)
            if answer is None or judge(error) is not Verdict.FATAL:
                raise _told(error, doing) from error
            # What is refused makes nothing, but an attempt before it may have.
            if len(sent) == 1:
                sent.clear()
            raise self._refusal(answer, doing) from error
        try:
            operations.wait(
                self.session,
                operation,
                doing=doing,
                limit=_STARTING,
                hint="give another --zone or --machine-type, or try again later",
                meter=meter,
            )
        except LkcloudError as error:
            if not isinstance(error.__cause__, GcpFault):
                raise
            raise self._refusal(error.__cause__, doing) from error.__cause__

    def _refusal(self, answer: GcpFault, doing: str) -> Exception:
        """Return the error for an answer that says no, with a hint that fits a test instance."""
        told = explain(answer, doing)
        if not isinstance(told, LkcloudError):
            return answer
        if any(_NO_ROOM.search(reason) for reason in answer.reasons):
            return Refused(told.message, hint="give another --zone or --machine-type, or try again later")
        for word, option in (("/networks/", "--network"), ("/subnetworks/", "--subnetwork"), ("/zones/", "--zone")):
            if answer.status == 404 and word in answer.message:
                return NotFound(told.message, hint=f"give {option}: the project or the region has none of this name")
        if isinstance(told, UsageError):
            return UsageError(told.message, hint="look at --machine-type, --zone, --network and --subnetwork")
        return told

    def _remove_after(self, error: BaseException, instance: Instance) -> None:
        """Remove INSTANCE because of ERROR, looking for it if it may still come to be; a failure is a note to ERROR."""
        # Google has said that nothing came of it; else there may be an instance that it does not show yet.
        refused = isinstance(error.__cause__, GcpFault)
        try:
            instance.remove(search=0.0 if refused else self.search)
        except LkcloudError as other:
            error.add_note(f"the test instance {instance.id} may be running: {other.message}")
        except BaseException:  # a second Ctrl-C
            error.add_note(f"the test instance {instance.id} may be running")
            raise error from None

    @property
    def _type(self) -> str:
        word = "ARM64" if self.image.architecture.upper() == "ARM64" else "X86_64"
        return self.options.machine_type or DEFAULT_TYPES[word]

    def _request(self, instance: Instance) -> "compute_v1.InsertInstanceRequest":
        from google.cloud import compute_v1

        project, zone = self.session.project, instance.zone
        labels = {naming.IMAGE: self.image.name}
        if self.image.digest:
            labels = naming.labels_of(self.image.digest, labels)
        # Without a type it is one that the machine series takes.
        disk = compute_v1.AttachedDiskInitializeParams(
            source_image=f"projects/{project}/global/images/{self.image.id}", labels=labels
        )
        resource = compute_v1.Instance(
            name=instance.name,
            description=f"lkcloud test of {self.image.name}",
            machine_type=f"zones/{zone}/machineTypes/{self._type}",
            labels=labels,
            disks=[compute_v1.AttachedDisk(boot=True, auto_delete=True, initialize_params=disk)],
            # Nothing of a test needs the network or Google's APIs: an instance without an external address and without
            # a service account is the safest.
            network_interfaces=[self._interface()],
            # A guest that powers off or crashes is to stay so: that is what a test looks for.
            scheduling=compute_v1.Scheduling(automatic_restart=False),
        )
        if self._has_secure_boot_keys():
            resource.shielded_instance_config = compute_v1.ShieldedInstanceConfig(
                enable_secure_boot=True, enable_vtpm=True, enable_integrity_monitoring=True
            )
        return compute_v1.InsertInstanceRequest(
            project=project, zone=zone, instance_resource=resource, request_id=str(uuid.uuid4())
        )

    def _interface(self) -> "compute_v1.NetworkInterface":
        from google.cloud import compute_v1

        network, subnetwork = self.options.network, self.options.subnetwork
        if subnetwork is None:
            return compute_v1.NetworkInterface(network=network if "/" in network else f"global/networks/{network}")
        # The subnetwork tells its network.
        region = self.options.zone.rpartition("-")[0]
        return compute_v1.NetworkInterface(
            subnetwork=subnetwork if "/" in subnetwork else f"regions/{region}/subnetworks/{subnetwork}"
        )

    def _has_secure_boot_keys(self) -> bool:
        """Tell whether the image brings Secure Boot keys: then it is to be tested with Secure Boot."""
        shown = self.session.call(
            f"looking at the image {self.image.id}",
            lambda **how: self.session.images.get(project=self.session.project, image=self.image.id, **how),
        )
        state = shown.shielded_instance_initial_state
        return bool(state.pk.content or state.keks or state.dbs or state.dbxs)


def _told(error: Exception, doing: str) -> Exception:
    return explain(error, doing) or error


def _is_gone(error: Exception) -> bool:
    answer = fault(error)
    return answer is not None and answer.status == 404


def _is_not_ready(error: Exception) -> bool:
    answer = fault(error)
    return answer is not None and _NOT_READY in answer.reasons
