# SPDX-License-Identifier: Apache-2.0
"""What is found out about the storage account that disks are sent to."""

from collections.abc import Iterator

from lkcloud.diagnosis import Diagnosis, Health, Remedy
from lkcloud_azure import checks_storage, remedies, storage
from lkcloud_azure.naming import ResourceId
from lkcloud_azure.options import AzureOptions, region_name
from lkcloud_azure.session import Session

_ABOUT = "storage account"


def account(session: Session, options: AzureOptions, region: str | None) -> Iterator[Diagnosis]:
    """Yield how the account of the options stands, for an image in REGION. Raises Refused for who may not look."""
    name = options.storage_account or ""
    found = storage.find(session, name)
    if found is None:
        missing = checks_storage.missing(name)
        remedy = Remedy(missing.hint)
        if region is not None:
            remedy = remedies.make_account(session.subscription, name, options.resource_group, region)
        yield Diagnosis(_ABOUT, Health.PROBLEM, missing.problem, "the disk is sent to it", remedy)
        return
    place, said = ResourceId.parse(found.id or ""), found.properties
    assert place is not None
    problems = list(checks_storage.problems(found, region if options.method == "blob" else None))
    for one in problems:
        if one.obstacle:
            why = "no image can be made of a disk that is sent there"
            yield Diagnosis(_ABOUT, Health.PROBLEM, one.problem, why, Remedy(one.hint))
        else:
            why = "whoever pushes from elsewhere is refused after the disk was read (AuthorizationFailure)"
            yield Diagnosis(_ABOUT, Health.NOTE, one.problem, why, remedies.open_account(place))
    if not problems:
        yield Diagnosis(_ABOUT, Health.GOOD, f"{name}, in {region_name(found.location)}")
    if said is not None and said.allow_blob_public_access:
        # https://learn.microsoft.com/azure/storage/blobs/anonymous-read-access-prevent
        what = f"containers of {name} can be opened to everybody"
        why = "whoever may change a container could let the Internet read the disks in it"
        yield Diagnosis(_ABOUT, Health.NOTE, what, why, remedies.close_to_anonymous(place))
