# SPDX-License-Identifier: Apache-2.0
"""Storage accounts, as Azure Resource Manager has them; their blobs are the blob service's.

https://learn.microsoft.com/rest/api/storagerp/storage-accounts
"""

import re
from typing import Any

from azure.mgmt.storage import models

from lkcloud_azure.sandbox.arm_call import ALL, GROUP, Answer, Call, Route, location, tags
from lkcloud_azure.sandbox.arm_model import body
from lkcloud_azure.sandbox.arm_operations import Operation, started
from lkcloud_azure.sandbox.arm_versions import STORAGE
from lkcloud_azure.sandbox.cloud import Cloud
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.storage_account import StorageAccount, add

PATH = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/{{account}}"
_NAME = re.compile(r"[a-z0-9]{3,24}")


def _put(call: Call) -> Answer:
    call.group()
    sent = body(call, models.StorageAccountCreateParameters)
    name, existing = call.id.names[-1], call.cloud.get(StorageAccount, call.id)
    place = location(call, sent, existing)
    if not _NAME.fullmatch(name):
        message = (
            f"{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in "
            "length and use numbers and lower-case letters only."
        )
        raise ApiError(400, "AccountNameInvalid", message)
    if existing is None and any(one.name == name for one in call.cloud.every(StorageAccount)):
        raise ApiError(409, "StorageAccountAlreadyTaken", f"The storage account named {name} is already taken.")
    settings = dict(sent.get("properties") or {})
    if existing is not None and settings.get("isHnsEnabled", False) != existing.properties()["isHnsEnabled"]:
        message = "The property 'isHnsEnabled' was specified in the input, but it cannot be updated as it is read-only."
        raise ApiError(409, "StorageAccountPropertyIsReadOnly", message)
    account = add(
        call.cloud,
        call.id,
        place,
        sku=sent["sku"]["name"],
        kind=sent["kind"],
        settings=settings,
        marks=tags(sent),
    )
    if existing is not None:
        account.state, account.created = "Succeeded", existing.created
        return Answer(account.described())
    cloud = call.cloud

    def work(operation: Operation) -> None:
        with cloud.lock:
            account.state = "Succeeded"
            operation.output = account.described()

    return Answer(None, 202, started(call, work, seconds=cloud.windows.operation, result=True))


def _patch(call: Call) -> Answer:
    account = call.find(StorageAccount)
    sent = body(call, models.StorageAccountUpdateParameters)
    account.settings = {**account.settings, **(sent.get("properties") or {})}
    account.sku = str((sent.get("sku") or {}).get("name") or account.sku)
    if "tags" in sent:
        account.tags = tags(sent)
    account.apply(call.cloud)
    return Answer(account.described())


def _get(call: Call) -> Answer:
    return Answer(call.find(StorageAccount).described())


def _list(call: Call) -> Answer:
    if "group" in call.segments:
        call.group()
    within = call.scope if "group" in call.segments else ""
    return call.listed([account.described() for account in call.cloud.every(StorageAccount, within)])


def _delete(call: Call) -> Answer:
    call.group()
    account = call.cloud.get(StorageAccount, call.id)
    if account is None:
        return Answer(None, 204)
    call.cloud.forget(account)
    account.removed(call.cloud)
    return Answer(None, 200)


def _keys(call: Call) -> Answer:
    account = call.find(StorageAccount)
    return Answer(_shown(call.cloud, account))


def _regenerate(call: Call) -> Answer:
    account = call.find(StorageAccount)
    name = body(call, models.StorageAccountRegenerateKeyParameters)["keyName"]
    if name not in ("key1", "key2"):
        raise ApiError(400, "InvalidRequestPropertyValue", f"The value '{name}' is not allowed for property keyName.")
    call.cloud.blobs.renew_key(account.name, int(name[-1]) - 1)
    return Answer(_shown(call.cloud, account))


def _shown(cloud: Cloud, account: StorageAccount) -> dict[str, Any]:
    keys = cloud.blobs.keys(account.name)
    when = account.created.isoformat()
    return {
        "keys": [
            {"creationTime": when, "keyName": f"key{number}", "value": key, "permissions": "FULL"}
            for number, key in enumerate(keys, 1)
        ]
    }


ROUTES = (
    Route("PUT", PATH, "StorageAccounts.Create", STORAGE, _put),
    Route("PATCH", PATH, "StorageAccounts.Update", STORAGE, _patch),
    Route("GET", PATH, "StorageAccounts.GetProperties", STORAGE, _get),
    Route("DELETE", PATH, "StorageAccounts.Delete", STORAGE, _delete),
    Route("POST", f"{PATH}/listKeys", "StorageAccounts.ListKeys", STORAGE, _keys),
    Route("POST", f"{PATH}/regenerateKey", "StorageAccounts.RegenerateKey", STORAGE, _regenerate),
    Route(
        "GET",
        f"{GROUP}/providers/Microsoft.Storage/storageAccounts",
        "StorageAccounts.ListByResourceGroup",
        STORAGE,
        _list,
    ),
    Route("GET", f"{ALL}/providers/Microsoft.Storage/storageAccounts", "StorageAccounts.List", STORAGE, _list),
)
