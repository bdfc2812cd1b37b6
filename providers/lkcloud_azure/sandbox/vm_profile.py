# SPDX-License-Identifier: Apache-2.0
"""What a machine from a generalized image is given: a name, a user, a password or a key.

The limits are those of OSProfile in the SDK.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any

from lkcloud_azure.sandbox.arm_call import Body, required
from lkcloud_azure.sandbox.errors import ApiError

_LINUX = re.compile(r"[^`~!@#$%^&*()=+_\[\]{}\\|;:'\",<>/?]{1,64}")
_WINDOWS = re.compile(r"(?!\d+$)[^`~!@#$%^&*()=+_\[\]{}\\|;:.'\",<>/?]{1,15}")
_USERS = re.compile(
    r"1|123|a|actuser|adm|admin[12]?|administrator|aspnet|backup|console|david|guest|john|owner|root|server|sql|"
    r"support(_388945a0)?|sys|test[1-3]?|user[1-5]?",
    re.IGNORECASE,
)
_PASSWORDS = re.compile(
    r"abc@123|P@\$\$w0rd|P@ssw0rd|P@ssword123|Pa\$\$word|pass@word1|Password(!|1|22)|iloveyou!",
)
_KINDS = (r"[a-z]", r"[A-Z]", r"\d", r"[\W_]")
_MOST_CUSTOM_DATA = 65535
_SECRETS = ("adminPassword", "customData")


def check(sent: Body | None, *, generalized: bool, os_type: str, machine: str) -> dict[str, Any] | None:
    """Return what MACHINE is to show of the profile SENT, None for a specialized image. Raises ApiError.

    https://learn.microsoft.com/troubleshoot/azure/virtual-machines/error-messages has most of the answers.
    """
    if not generalized:
        if sent is not None:
            raise _invalid("Parameter 'osProfile' is not allowed.", "osProfile")
        return None
    if sent is None:
        raise required("osProfile")
    name = str(sent.get("computerName") or machine)
    _check_name(name, os_type)
    _check_user(str(sent.get("adminUsername") or ""), os_type)
    _check_configuration(sent, os_type)
    _check_authentication(sent, os_type)
    _check_custom_data(str(sent.get("customData") or ""))
    kept = {key: value for key, value in sent.items() if key not in _SECRETS}
    return {"allowExtensionOperations": True, "secrets": [], **kept, "computerName": name}


def _invalid(message: str, target: str) -> ApiError:
    return ApiError(400, "InvalidParameter", message, target=target)


def _check_name(name: str, os_type: str) -> None:
    if os_type == "Windows":
        if not _WINDOWS.fullmatch(name):
            message = (
                "Windows computer name cannot be more than 15 characters long, be entirely numeric, or contain the "
                "following characters: ` ~ ! @ # $ % ^ & * ( ) = + _ [ ] { } \\ | ; : . ' \" , < > / ?."
            )
            raise _invalid(message, "computerName")
    elif not _LINUX.fullmatch(name):
        message = (
            "Linux host name cannot exceed 64 characters in length or contain the following characters: ` ~ ! @ # $ % "
            "^ & * ( ) = + _ [ ] { } \\ | ; : ' \" , < > / ?."
        )
        raise _invalid(message, "computerName")


def _check_user(user: str, os_type: str) -> None:
    if not user:
        raise required("adminUsername")
    most = 20 if os_type == "Windows" else 64
    if _USERS.fullmatch(user) or len(user) > most or (os_type == "Windows" and user.endswith(".")):
        raise _invalid("The Admin Username specified is not allowed.", "adminUsername")


def _check_configuration(sent: Body, os_type: str) -> None:
    other = "linuxConfiguration" if os_type == "Windows" else "windowsConfiguration"
    if sent.get(other) is not None:
        raise _invalid(f"Parameter '{other}' is not allowed.", other)
    mine: Mapping[str, Any] = sent.get("windowsConfiguration" if os_type == "Windows" else "linuxConfiguration") or {}
    if mine.get("provisionVMAgent") is False and sent.get("allowExtensionOperations") is True:
        # https://registry.terraform.io/providers/hashicorp/azurerm/latest/docs/resources/linux_virtual_machine says
        # that the second cannot be without the first; the service's own words were not found.
        message = "allowExtensionOperations can be set to true only if provisionVMAgent is not false."
        raise _invalid(message, "allowExtensionOperations")


def _check_authentication(sent: Body, os_type: str) -> None:
    password = str(sent.get("adminPassword") or "")
    if os_type == "Windows":
        if not password:
            raise required("adminPassword")
        _check_password(password, 8, 123)
        return
    linux: Mapping[str, Any] = sent.get("linuxConfiguration") or {}
    keys = (linux.get("ssh") or {}).get("publicKeys") or []
    for key in keys:
        path = f"/home/{sent['adminUsername']}/.ssh/authorized_keys"
        if key.get("path") != path:
            message = (
                f"Destination path for SSH public keys is currently limited to its default value {path} due to a known "
                "issue in Linux provisioning agent."
            )
            raise _invalid(message, "linuxConfiguration.ssh.publicKeys.path")
    if linux.get("disablePasswordAuthentication"):
        password = ""
    elif password:
        _check_password(password, 6, 72)
    if not password and not keys:
        message = "Authentication using either SSH or by user name and password must be enabled in Linux profile."
        raise _invalid(message, "linuxConfiguration")


def _check_password(password: str, least: int, most: int) -> None:
    kinds = sum(bool(re.search(kind, password, re.ASCII)) for kind in _KINDS)
    if not least <= len(password) <= most or kinds < 3:
        message = (
            f"The supplied password must be between {least}-{most} characters long and must satisfy at least 3 of "
            "password complexity requirements from the following:\r\n1) Contains an uppercase character\r\n2) Contains "
            "a lowercase character\r\n3) Contains a numeric digit\r\n4) Contains a special character\r\n5) Control "
            "characters are not allowed"
        )
        raise _invalid(message, "adminPassword")
    if _PASSWORDS.fullmatch(password):
        raise _invalid("The supplied password is not allowed.", "adminPassword")


def _check_custom_data(text: str) -> None:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = None
    if data is None or len(data) > _MOST_CUSTOM_DATA:
        message = "Custom data in OSProfile must be in Base64 encoding and with a maximum length of 87380 characters."
        raise _invalid(message, "customData")
