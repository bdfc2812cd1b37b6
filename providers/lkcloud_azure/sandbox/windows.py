# SPDX-License-Identifier: Apache-2.0
"""How long things take in the stand-in, and what it gives out or denies: what tests turn up, down or off."""

from dataclasses import dataclass


@dataclass(slots=True)
class Windows:
    """Times in seconds unless said otherwise."""

    operation: float = 0.05
    """Any operation that goes on after its answer and is not named below."""
    image: float = 0.2
    """From the PUT of a managed image to its Succeeded."""
    version: float = 0.3
    """From the PUT of a gallery image version to its Succeeded: copying into its regions."""
    vm_start: float = 0.1
    """From the PUT of a virtual machine to PowerState/running."""
    vm_stop: float = 0.1
    """From deallocate, powerOff or delete to the end of it."""
    os_provisioning: float = 1200.0
    """How long the guest of a generalized image has to say that it is ready, which none here can; Azure's are 20 to 40
    minutes."""
    nic_kept: float = 1.0
    """How long a network interface is kept for a machine that was refused or has gone; Azure's are 180 seconds."""
    boot_log: float = 0.0
    """How long after its start a machine's serial log cannot be read yet."""
    deleted_version: float = 0.0
    """How long after a gallery image version is gone its definition says that it still has it (about 20 s were seen:
    Azure/azure-rest-api-specs#19686)."""
    retry_after: int = 0
    """Whole seconds in Retry-After of operations; Azure's are 1 to 60 (Azure/azure-rest-api-specs#11559)."""
    token_life: float = 3600.0
    """How long an access token is good; Entra ID's are for 60 to 90 minutes."""
    page_size: int = 200
    """The longest page of a list."""
    page_ranges: int = 10_000
    """The most ranges in one answer to Get Page Ranges; 10,000 is Azure's limit."""
    blobs_page: int = 5_000
    """The longest page of a list of containers or blobs; 5,000 is Azure's limit."""
    deleted_container: float = 0.0
    """How long the name of a deleted container cannot be used again; Azure's is 30 seconds and more."""
    denied_actions: tuple[str, ...] = ()
    """Actions, and data actions, that the identity is not allowed, such as `Microsoft.Compute/disks/write`; `*` stands
    for any characters."""
    allowed_actions: frozenset[str] | None = None
    """Actions that the identity is allowed, None for all; `*` stands for any characters."""
    allowed_data_actions: frozenset[str] | None = None
    """Data actions that the identity is allowed, as holder of a token for storage, None for all."""
    subscription_state: str = "Enabled"
    """https://learn.microsoft.com/azure/cost-management-billing/manage/subscription-states"""
    strangers: tuple[str, ...] = ()
    """Object ids that no principal of the tenant has; all others are there."""
    service_principals: tuple[str, ...] = ()
    """Object ids of service principals; all others are users."""
    quotas: tuple[tuple[str, int], ...] = (("StandardDiskCount", 50_000), ("GalleryImageVersion", 10_000))
    """How many there may be in a region, by the names that usages have."""
    unregistered: tuple[str, ...] = ()
    """Resource providers that the subscription is not registered for, such as `Microsoft.Compute`."""
    unavailable_sizes: tuple[str, ...] = ()
    """Sizes of machines that the regions have not (SkuNotAvailable)."""
    unallocatable_sizes: tuple[str, ...] = ()
    """Sizes that no host is found for when a machine is already being made (AllocationFailed)."""
