# SPDX-License-Identifier: Apache-2.0
"""What Azure is asked for to make a test machine."""

import secrets
import string
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lkcloud_azure.vm_image import Bootable

if TYPE_CHECKING:
    from azure.mgmt.compute import models

_USER = "lkcloud"
_PASSWORD = 48
"""Characters; Azure takes 72 at most, and asks for three of four kinds of them (OSProfile.admin_password)."""


def request(
    name: str,
    image_id: str,
    image: Bootable,
    *,
    location: str,
    size: str,
    interface: str,
    tags: Mapping[str, str],
    password: str,
) -> "models.VirtualMachine":
    """Return a machine called NAME, whose disk and INTERFACE go when it goes.

    PASSWORD is that of a user whom a generalized image may make; nobody is to sign in.
    """
    from azure.mgmt.compute import models

    return models.VirtualMachine(
        location=location,
        tags=dict(tags),
        properties=models.VirtualMachineProperties(
            hardware_profile=models.HardwareProfile(vm_size=size),
            storage_profile=models.StorageProfile(
                image_reference=models.ImageReference(id=image_id),
                os_disk=models.OSDisk(
                    name=name,
                    create_option="FromImage",
                    delete_option="Delete",
                    managed_disk=models.ManagedDiskParameters(storage_account_type="StandardSSD_LRS"),
                ),
                # Without diskControllerType it is one that size and image have in common (StorageProfile in the SDK).
            ),
            os_profile=_os_profile(name, image, password) if image.generalized else None,
            network_profile=models.NetworkProfile(
                network_interfaces=[
                    models.NetworkInterfaceReference(
                        id=interface,
                        properties=models.NetworkInterfaceReferenceProperties(primary=True, delete_option="Delete"),
                    )
                ]
            ),
            # Without a storage account the log is kept by Azure, and read by retrieveBootDiagnosticsData
            # (https://learn.microsoft.com/azure/virtual-machines/boot-diagnostics#boot-diagnostics-with-managed-storage).
            diagnostics_profile=models.DiagnosticsProfile(boot_diagnostics=models.BootDiagnostics(enabled=True)),
            security_profile=_security_profile(image),
        ),
    )


def new_password() -> str:
    """Return a password that nobody will know, with a character of each kind that Azure asks for."""
    letters = string.ascii_letters + string.digits
    return "aA1-" + "".join(secrets.choice(letters) for _ in range(_PASSWORD - 4))


def _os_profile(name: str, image: Bootable, password: str) -> "models.OSProfile":
    from azure.mgmt.compute import models

    # None of Azure's agents is asked for, and so no extension can be put in (OSProfile and LinuxConfiguration in the
    # SDK).
    if image.os_type == "Windows":
        return models.OSProfile(
            computer_name=f"lkc-{name[-11:]}",  # Windows has 15 characters
            admin_username=_USER,
            admin_password=password,
            allow_extension_operations=False,
            windows_configuration=models.WindowsConfiguration(provision_vm_agent=False, enable_automatic_updates=False),
        )
    return models.OSProfile(
        computer_name=name,
        admin_username=_USER,
        admin_password=password,
        allow_extension_operations=False,
        linux_configuration=models.LinuxConfiguration(provision_vm_agent=False, disable_password_authentication=False),
    )


def _security_profile(image: Bootable) -> "models.SecurityProfile":
    from azure.mgmt.compute import models

    # Said in any case: what is left out may be chosen by the subscription (https://learn.microsoft.com/azure/
    # virtual-machines/trusted-launch#general-availability-trusted-launch-as-default); Standard can be said since the
    # API of 2025-11-01, and goes without UEFI settings (Azure/azure-cli#30728).
    if not image.trusted_launch:
        return models.SecurityProfile(security_type="Standard")
    return models.SecurityProfile(
        security_type="TrustedLaunch",
        uefi_settings=models.UefiSettings(secure_boot_enabled=True, v_tpm_enabled=True),
    )
