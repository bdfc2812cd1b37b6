# SPDX-License-Identifier: Apache-2.0
"""A test machine: started, its console read, always removed."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from lkcloud.errors import LkcloudError, Refused, UsageError
from lkcloud.polling import poll
from lkcloud.provider import Image, Run
from lkcloud.reporting import Meter
from lkcloud_azure import naming, operations, resource_group, vm_network, vm_removal, vm_request, vm_sizes
from lkcloud_azure.errors import code_of, explain, status_of
from lkcloud_azure.naming import ResourceId
from lkcloud_azure.options import AzureOptions
from lkcloud_azure.plain import one_line
from lkcloud_azure.session import Session
from lkcloud_azure.vm_image import Bootable, look
from lkcloud_azure.vm_state import Standing

if TYPE_CHECKING:
    from azure.core import PipelineClient

_STARTING = 900.0
"""Seconds to wait until Azure has found a host and started the machine on it."""

_READABLE = 30 * 60.0
"""Seconds for which the URL of a log is used; it is good for 120 minutes where nothing else is asked for."""

_LOG_LATE = 300.0
"""Seconds for which the log of a machine that has stopped is waited for. At first there is none (Azure/azure-init#38);
includes/virtual-machines-common-boot-diagnostics.md of MicrosoftDocs/azure-docs speaks of up to ten minutes."""

_PATIENCE = 30
"""Seconds for connecting to the log, and between two reads of it."""

_MOST_TAG = 256
"""Characters of a tag's value."""

_NO_ROOM = (
    "AllocationFailed",
    "OverconstrainedAllocationRequest",
    "OverconstrainedZonalAllocationRequest",
    "QuotaExceeded",
    "SkuNotAvailable",
    "ZonalAllocationFailed",
)
"""https://learn.microsoft.com/troubleshoot/azure/virtual-machines/windows/allocation-failure and
https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-sku-not-available"""

_NO_SIZE = "provided for the vm size is not valid"
"""What Azure says, with the code InvalidParameter, of a size that the region has never had."""

_ROOM_HINT = "give another --vm-size or --location, or try again later"
_QUOTA_HINT = "give another --vm-size or --location, or ask for a higher quota in the portal"


@dataclass
class _Console:
    """What the serial console has shown, and the URL it is read from until UNTIL; times are of time.monotonic."""

    text: str = ""
    url: str = ""
    until: float = 0.0
    stopped: float = 0.0
    """When the machine was first seen stopped."""

    @cached_property
    def client(self) -> "PipelineClient[Any, Any]":
        """What reads the log, without credentials."""
        from azure.core import PipelineClient

        from lkcloud_azure.transport import transport

        return PipelineClient("", retry_total=0, transport=transport(timeout=_PATIENCE))


@dataclass(frozen=True)
class VirtualMachine:
    """A test machine called NAME in the resource group GROUP."""

    session: Session
    group: str
    name: str
    _console: _Console = field(default_factory=_Console, repr=False, compare=False)

    @property
    def place(self) -> ResourceId:
        """The resource id in its parts."""
        return vm_removal.machine_id(self.session, self.group, self.name)

    @property
    def id(self) -> str:
        """The resource id."""
        return str(self.place)

    def console(self) -> str:
        """Return what the first serial port has shown; nothing for the first minutes, in which there is no log yet."""
        console = self._console
        try:
            if not console.url or time.monotonic() >= console.until:
                console.url = self._log_url()
                console.until = time.monotonic() + _READABLE
            if console.url:
                console.text = self._fetch(console.url) or console.text
        except Exception as error:
            # 404: no machine, or no log of it yet. 409 and 400: what Azure says while a machine is made or removed is
            # not documented, and a test must not end for it. 403 of the log itself: the time of its URL is over.
            status = status_of(error)
            if status not in (400, 404, 409) and not (status == 403 and console.url):
                raise explain(error, f"reading the console of {self.name}") or error from error
            console.url = ""
        return console.text

    def _log_url(self) -> str:
        machines = self.session.compute.virtual_machines
        shown = self.session.attempt(lambda: machines.retrieve_boot_diagnostics_data(self.group, self.name))
        return shown.serial_console_log_blob_uri or ""

    def _fetch(self, url: str) -> str:
        """Return the log at URL, which is a right in itself: no token goes with it."""
        from azure.core.rest import HttpRequest

        def ask() -> bytes:
            answer = self._console.client.send_request(HttpRequest("GET", url))
            answer.raise_for_status()
            return bytes(answer.content)

        # If it is a page blob, zeros fill it up to a multiple of 512 bytes.
        return self.session.attempt(ask).rstrip(b"\0").decode(errors="replace")

    def standing(self) -> Standing | None:
        """Return how it stands, None if there is no such machine."""
        machines = self.session.compute.virtual_machines
        try:
            shown = self.session.attempt(lambda: machines.instance_view(self.group, self.name))
        except Exception as error:
            if status_of(error) == 404:
                return None
            raise explain(error, f"looking at {self.name}") or error from error
        return Standing.of(shown.statuses)

    def state(self) -> str:
        """Return `starting`, `running`, `stopped`, or `failed:` and Azure's reason.

        A guest that is done in seconds has stopped before Azure has written any of its log. As long as there is none,
        for some minutes, it is still `running`: its last words are still to come.
        """
        standing, console = self.standing(), self._console
        if standing is None:
            return "stopped"
        if standing.state != "stopped" or standing.leaving or console.text:
            return standing.state
        console.stopped = console.stopped or time.monotonic()
        return "running" if time.monotonic() < console.stopped + _LOG_LATE else "stopped"

    def terminate(self) -> None:
        """Remove it with its disk, its interface and its network, and wait until they are gone. Again is no error."""
        vm_removal.remove(self.session, self.group, self.name)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where a machine is to be made of IMAGE, and its sizes, the first of which that is to be had is taken."""

    image: Bootable
    location: str
    sizes: tuple[str, ...]


@dataclass(frozen=True)
class Launcher:
    """Starts test machines from IMAGE."""

    session: Session
    options: AzureOptions
    image: Image

    def launch(self, run: Run) -> VirtualMachine:
        """Start one machine and return it when Azure has started it, which does not wait for the guest.

        Whatever is raised on the way removes all that was made: nobody holds it yet. Raises UsageError for an image
        that no size of ours boots, Refused where there is no room for it, and what Azure says otherwise.
        """
        plan = self._plan(look(self.session, self.image))
        resource_group.ensure(self.session, self.options.resource_group, plan.location, self.options.tags)
        name = f"{vm_removal.PREFIX}{uuid.uuid4().hex[:16]}"
        machine = VirtualMachine(self.session, self.options.resource_group, name)
        try:
            with run.reporter.stage("launch") as meter:
                self._make(machine, plan, meter)
            return machine
        except BaseException as error:
            self._remove_after(error, machine, run)
            raise

    def _plan(self, image: Bootable) -> _Plan:
        wanted = self.options.location
        location = wanted if wanted in image.locations else image.locations[0]
        if self.options.vm_size:
            return _Plan(image, location, (self.options.vm_size,))
        secure = image.trusted_launch
        sizes = vm_sizes.fitting(image.architecture, image.generation, image.controllers, trusted_launch=secure)
        plan = _Plan(image, location, tuple(sizes))
        if not plan.sizes:
            kind = f"{image.architecture}, generation {image.generation}, {' or '.join(image.controllers)}"
            kind += ", Trusted Launch" if secure else ""
            raise UsageError(f"azure: no small size is known for {kind}", hint="give one with --vm-size")
        return plan

    @property
    def _tags(self) -> Mapping[str, str]:
        return {
            **self.options.tags,
            naming.IMAGE: self.image.id[-_MOST_TAG:],
            naming.NAME: self.image.name,
            naming.VERSION: naming.FORMAT_VERSION,
            naming.CREATED: datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def _make(self, machine: VirtualMachine, plan: _Plan, meter: Meter) -> None:
        tags, place = self._tags, machine.place
        meter.status("network")
        subnet = self.options.subnet or vm_network.make_network(self.session, place, location=plan.location, tags=tags)
        interface = vm_network.make_interface(self.session, place, location=plan.location, tags=tags, subnet=subnet)
        password = vm_request.new_password()
        for size in plan.sizes:
            where = f"{size} in {plan.location}"
            meter.status(f"{where}{', Trusted Launch' if plan.image.trusted_launch else ''}")
            body = vm_request.request(
                machine.name,
                self.image.id,
                plan.image,
                location=plan.location,
                size=size,
                interface=interface,
                tags=tags,
                password=password,
            )
            try:
                self._start(machine, body, where, meter)
            except _NoRoom as refused:
                # A family may have no quota, or the region no such machines, where another has.
                if size == plan.sizes[-1]:
                    raise refused.error from refused.error.__cause__
            else:
                return

    def _start(self, machine: VirtualMachine, body: Any, where: str, meter: Meter) -> None:
        doing = "starting the test machine"
        machines = self.session.compute.virtual_machines
        request = partial(machines.begin_create_or_update, machine.group, machine.name, body)
        try:
            # What is begun here ends when the guest says that it is ready, or in a failure when it has not for long:
            # what is waited for is that the machine runs.
            operations.begin(self.session, doing, request)
        except LkcloudError as error:
            told = _refusal(error)
            if _is_no_room(error.__cause__):
                raise _NoRoom(told) from error.__cause__
            raise told from error.__cause__

        def seen() -> bool | None:
            standing = machine.standing()
            if standing is None:
                return None  # not to be seen yet
            if standing.failure:
                raise _failed(standing, doing)
            meter.status(f"{where}: {standing.state}")
            return standing.placed or None

        poll(
            seen,
            what=f"azure: {doing}",
            every=0.25,
            limit=_STARTING,
            hint=_ROOM_HINT,
        )

    def _remove_after(self, error: BaseException, machine: VirtualMachine, run: Run) -> None:
        """Remove MACHINE because of ERROR; a failure is a note to ERROR, and is told."""
        try:
            vm_removal.remove(self.session, machine.group, machine.name, waiting=run.reporter.note)
        except LkcloudError as other:
            error.add_note(f"{machine.id}, or what was made for it, may be there: {other.message}")
        except BaseException:  # a second Ctrl-C
            error.add_note(f"{machine.id}, or what was made for it, may be there")
            raise error from None
        finally:
            for note in getattr(error, "__notes__", ()):
                run.reporter.warn(note)


class _NoRoom(Exception):
    """Azure has no room for this size; ERROR is what to tell if there is no other."""

    def __init__(self, error: LkcloudError) -> None:
        super().__init__(error.message)
        self.error = error


def _is_no_room(cause: BaseException | None) -> bool:
    code, message = code_of(cause), str(cause)
    if code in _NO_ROOM:
        return True
    # A family's quota: https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-resource-quota.
    return (code == "OperationNotAllowed" and "quota" in message.lower()) or (
        code == "InvalidParameter" and _NO_SIZE in message.lower()
    )


def _refusal(error: LkcloudError) -> LkcloudError:
    """Return the error for an answer that says no, with a hint that fits a test machine."""
    cause = error.__cause__
    if _is_no_room(cause):
        text = f"{code_of(cause)} {cause}".lower()
        if _NO_SIZE in text:
            return Refused(error.message, hint="give another --vm-size (az vm list-skus), or another --location")
        return Refused(error.message, hint=_QUOTA_HINT if "quota" in text else _ROOM_HINT)
    code, message = code_of(cause), str(cause).lower()
    if status_of(cause) == 400 and code in ("InvalidParameter", "BadRequest"):
        for words, hint in (
            ("hypervisor generation", "give a --vm-size for the generation that the image has"),
            ("disk controller type", "give a --vm-size with a disk controller that the image has a driver for"),
            ("cpu architecture", "give a --vm-size of the image's architecture"),
            ("security type", "give a --vm-size that has the security type of the image definition"),
        ):
            if words in message:
                return UsageError(error.message, hint=hint)
    return error


def _failed(standing: Standing, doing: str) -> LkcloudError:
    """Return the error for a machine that Azure began to make and could not start."""
    text = f"azure: {doing}: {one_line(standing.failure)}"
    if standing.detail in _NO_ROOM:
        return Refused(text, hint=_ROOM_HINT)
    return Refused(text, hint="see what Azure says of this image and size, or give another --vm-size")
