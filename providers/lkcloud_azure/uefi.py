# SPDX-License-Identifier: Apache-2.0
"""The Secure Boot keys of a gallery image version, read from files.

https://learn.microsoft.com/azure/virtual-machines/trusted-launch-secure-boot-custom-uefi: to a template of Microsoft's
come certificates (`x509`) and hashes (`sha256`), each as base64; hashes are what a list of forbidden signatures (dbx)
is mostly made of.
"""

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lkcloud.errors import UsageError
from lkcloud.secure_boot import Kind, Signature, read_signatures
from lkcloud_azure.options import AzureOptions

if TYPE_CHECKING:
    from azure.mgmt.compute import models

_KINDS: tuple[Kind, ...] = ("x509", "sha256")


def chosen(options: AzureOptions) -> bool:
    """Tell whether the options say anything of keys."""
    return "uefi_template" in options.model_fields_set or bool(files(options))


def files(options: AzureOptions) -> tuple[Path, ...]:
    """Return all key files of the options."""
    platform_key = (options.platform_key,) if options.platform_key else ()
    return (*platform_key, *options.key_exchange_key, *options.signature_db, *options.revoked_db)


def certificates(path: Path) -> tuple[Signature, ...]:
    """Return what a file with a platform key or key exchange keys holds. Raises UsageError if it holds hashes."""
    found = read_signatures(path)
    if any(one.kind != "x509" for one in found):
        raise UsageError(f"{path} holds hashes, and no key", hint="give an X.509 certificate in DER or PEM")
    return found


def platform_key(path: Path) -> Signature:
    """Return the one certificate in a file with a platform key. Raises UsageError if it is not one."""
    found = certificates(path)
    if len(found) > 1:
        raise UsageError(f"{path} holds {len(found)} certificates", hint="a machine has one platform key")
    return found[0]


def settings(options: AzureOptions) -> "models.GalleryImageVersionUefiSettings | None":
    """Return the keys that the options name, None if they name none. Raises UsageError for files without keys."""
    if not chosen(options):
        return None
    from azure.mgmt.compute import models

    made = models.GalleryImageVersionUefiSettings(signature_template_names=[options.uefi_template])
    if files(options):
        made.additional_signatures = models.UefiKeySignatures(
            kek=_keys(one for path in options.key_exchange_key for one in certificates(path)),
            db=_keys(one for path in options.signature_db for one in read_signatures(path)),
            dbx=_keys(one for path in options.revoked_db for one in read_signatures(path)),
        )
        if options.platform_key:
            (made.additional_signatures.pk,) = _keys([platform_key(options.platform_key)])
    return made


def _keys(signatures: Iterable[Signature]) -> "list[models.UefiKey]":
    """Return one key of the API for each kind of signature that there is, with all values of that kind."""
    from azure.mgmt.compute import models

    found = list(signatures)
    values = {kind: [base64.b64encode(one.data).decode() for one in found if one.kind == kind] for kind in _KINDS}
    return [models.UefiKey(type=kind, value=texts) for kind, texts in values.items() if texts]
