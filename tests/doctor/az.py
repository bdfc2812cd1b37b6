# SPDX-License-Identifier: Apache-2.0
"""What doctor printed for Azure, done to the sandbox: as az would by a command, or Terraform by a resource.

Whatever is not known here is an error: another flag, another argument, another type. Roles of one's own are not in the
sandbox: who is given one has its actions from then on, by the windows. All is done by somebody who may do everything.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from lkcloud.diagnosis import SET_CLOCK, Remedy
from lkcloud_azure.naming import ResourceId
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.access import PRINCIPAL
from lkcloud_azure.sandbox.cloud import SUBSCRIPTION
from lkcloud_azure.session import Session
from tests.azure.pushing import others
from tests.doctor.printed import blocks
from tests.terraform.hcl import schemas

_REGISTRATION = {"attributes": {"name": ["string", "r"]}, "blocks": {}}
"""Of azurerm_resource_provider_registration, which terraform/ does not use; without its blocks for features:
https://registry.terraform.io/providers/hashicorp/azurerm/latest/docs/resources/resource_provider_registration"""

_CAMEL = {"public-name-prefix": "publicNamePrefix", "publisher-uri": "publisherUri", "eula": "eula"}


@dataclass(frozen=True)
class Role:
    """A role of one's own: where it can be given, and what it allows."""

    scopes: tuple[str, ...]
    actions: frozenset[str]
    data: frozenset[str]


@dataclass
class Mender:
    """Mends AZURE by what was printed: ROLES are those that were made, by name, CONDITIONS what came with them."""

    azure: AzureStandIn
    session: Session
    roles: dict[str, Role] = field(default_factory=dict)
    conditions: list[str] = field(default_factory=list)

    def mend(self, remedy: Remedy, way: str) -> None:
        """Do what REMEDY says, by its `commands`, its `terraform`, or what it says is to be allowed (`do`)."""
        if way == "commands":
            assert remedy.commands
            for command in remedy.commands:
                self._run(command)
        elif way == "terraform":
            assert remedy.terraform
            self._apply(remedy.terraform)
        else:
            word, action, *_ = remedy.do.replace(",", " ").replace(";", " ").split()
            windows = self.azure.windows
            assert word == "allow", remedy.do
            assert action in windows.denied_actions
            windows.denied_actions = tuple(one for one in windows.denied_actions if one != action)

    def _run(self, command: str) -> None:
        """Do what az does: https://learn.microsoft.com/cli/azure/reference-index."""
        if command == SET_CLOCK:
            self.azure.set_clock(0)
            return
        program, *words = shlex.split(command)
        assert program == "az"
        group = list(takewhile(lambda word: not word.startswith("--"), words))
        flags = _flags(words[len(group) :])
        assert flags.pop("subscription") == SUBSCRIPTION
        if group[:2] == ["role", "assignment"]:
            self._assign(group, flags)
        else:
            with others(self.azure):
                self._act(group, flags)
        assert flags == {}, command

    def _act(self, group: list[str], flags: dict[str, str]) -> None:
        match group:
            case ["provider", "register"]:
                assert flags.pop("wait") == ""
                self.session.resources.providers.register(flags.pop("namespace"))
            case ["group", "create"]:
                self._make_group(flags.pop("name"), flags.pop("location"))
            case ["group", "wait"]:
                assert flags.pop("deleted") == ""
                self.azure.hurry()
                assert flags.pop("name") not in self.azure.holdings.groups
            case ["role", "definition", "create"]:
                self._define(flags)
            case ["storage", "account", "create"]:
                body = {"location": flags.pop("location"), "kind": flags.pop("kind"), "sku": {"name": flags.pop("sku")}}
                self._make_account(flags.pop("resource-group"), flags.pop("name"), {**body, **_settings(flags)})
            case ["storage", "account", "update"]:
                name, where = flags.pop("name"), flags.pop("resource-group")
                change: Any = _settings(flags)
                self.session.storage.storage_accounts.update(where, name, change)
            case ["sig", "create"]:
                self._create_gallery(flags)
            case ["resource", "update"]:
                self._switch_soft_delete(ResourceId.parse(flags.pop("ids")), flags.pop("set"))
            case _:
                raise AssertionError(f"{group} is not known here")

    def _define(self, flags: dict[str, str]) -> None:
        document = json.loads(flags.pop("role-definition"))
        assert document.keys() == {"Name", "Description", "AssignableScopes", "Actions", "DataActions"}
        role = Role(
            tuple(document["AssignableScopes"]), frozenset(document["Actions"]), frozenset(document["DataActions"])
        )
        self.roles[document["Name"]] = role

    def _assign(self, group: list[str], flags: dict[str, str]) -> None:
        assert group == ["role", "assignment", "create"]
        assert flags.pop("assignee-object-id") == PRINCIPAL
        assert flags.pop("assignee-principal-type") == "ServicePrincipal"
        if "condition" in flags:
            assert flags.pop("condition-version") == "2.0"
            self.conditions.append(flags.pop("condition"))
        self._give(self.roles[flags.pop("role")], flags.pop("scope"))

    def _give(self, role: Role, scope: str) -> None:
        """Let the identity have ROLE on SCOPE, which is the subscription or a group that is there."""
        assert scope in role.scopes
        _, found, group = scope.partition("/resourceGroups/")
        assert not found or group in self.azure.holdings.groups
        windows = self.azure.windows
        assert windows.allowed_actions is not None
        assert windows.allowed_data_actions is not None
        windows.allowed_actions |= role.actions
        windows.allowed_data_actions |= role.data

    def _make_group(self, name: str, location: str) -> None:
        body: Any = {"location": location}
        self.session.resources.resource_groups.create_or_update(name, body)

    def _make_account(self, group: str, name: str, body: Any) -> None:
        self.session.storage.storage_accounts.begin_create(group, name, body).result()

    def _create_gallery(self, flags: dict[str, str]) -> None:
        name, group, location = flags.pop("gallery-name"), flags.pop("resource-group"), flags.pop("location")
        info = {_CAMEL[flag]: flags.pop(flag) for flag in _CAMEL if flag in flags}
        if info:
            assert flags.pop("permissions") == "Community"
            info["publisherContact"] = flags.pop("publisher-email")
        self._make_gallery(name, group, location, info)

    def _make_gallery(self, name: str, group: str, location: str, info: Mapping[str, str]) -> None:
        sharing = {"sharingProfile": {"permissions": "Community", "communityGalleryInfo": info}} if info else {}
        body: Any = {"location": location, "properties": sharing}
        self.session.compute.galleries.begin_create_or_update(group, name, body).result()

    def _switch_soft_delete(self, gallery: ResourceId | None, setting: str) -> None:
        """Do what az does for a resource of any type: it is read, changed and put."""
        assert gallery is not None
        assert gallery.is_of("galleries")
        assert setting == "properties.softDeletePolicy.isSoftDeleteEnabled=false"
        galleries, (name,) = self.session.compute.galleries, gallery.names
        shown = galleries.get(gallery.group, name)
        assert shown.properties is not None
        assert shown.properties.soft_delete_policy is not None
        shown.properties.soft_delete_policy.is_soft_delete_enabled = False
        galleries.begin_create_or_update(gallery.group, name, shown).result()

    def _apply(self, terraform: str) -> None:
        """Make the resources; each is as the provider's schema has it."""
        labels: dict[str, Role] = {}
        for kind, label, given in blocks(terraform):
            known = schemas()["azurerm"]["resource"]
            _check(kind, given, _REGISTRATION if kind == "azurerm_resource_provider_registration" else known[kind])
            if kind == "azurerm_role_definition":
                [permissions] = given["permissions"]
                actions, data = permissions.get("actions", []), permissions.get("data_actions", [])
                assert given["scope"] in given["assignable_scopes"]
                labels[label] = Role(tuple(given["assignable_scopes"]), frozenset(actions), frozenset(data))
            elif kind == "azurerm_role_assignment":
                assert given["principal_id"] == PRINCIPAL
                if "condition" in given:
                    assert given["condition_version"] == "2.0"
                    self.conditions.append(given["condition"])
                self._give(labels[_role(given["role_definition_id"])], given["scope"])
            else:
                with others(self.azure):
                    self._make(kind, given)

    def _make(self, kind: str, given: Mapping[str, Any]) -> None:
        match kind:
            case "azurerm_resource_provider_registration":
                self.session.resources.providers.register(given["name"])
            case "azurerm_resource_group":
                self._make_group(given["name"], given["location"])
            case "azurerm_shared_image_gallery":
                info = {}
                for sharing in given.get("sharing", []):
                    assert sharing["permission"] == "Community"
                    [community] = sharing["community_gallery"]
                    info = {
                        "publicNamePrefix": community["prefix"],
                        "publisherUri": community["publisher_uri"],
                        "publisherContact": community["publisher_email"],
                        "eula": community["eula"],
                    }
                self._make_gallery(given["name"], given["resource_group_name"], given["location"], info)
            case "azurerm_storage_account":
                sku = {"name": f"{given['account_tier']}_{given['account_replication_type']}"}
                settings = {
                    "allowBlobPublicAccess": given["allow_nested_items_to_be_public"],
                    "minimumTlsVersion": given["min_tls_version"],
                }
                body = {"location": given["location"], "kind": given["account_kind"], "sku": sku}
                self._make_account(given["resource_group_name"], given["name"], {**body, "properties": settings})
            case _:
                raise AssertionError(f"{kind} is not known here")


def _flags(words: list[str]) -> dict[str, str]:
    """Return what follows each flag, "" for one that nothing follows."""
    found: dict[str, str] = {}
    for word in words:
        if word.startswith("--"):
            name = word.removeprefix("--")
            assert name not in found
            found[name] = ""
        else:
            assert found[name] == "", word
            found[name] = word
    return found


def _settings(flags: dict[str, str]) -> dict[str, Any]:
    """Return the properties of a storage account that FLAGS name, and take these out."""
    found: dict[str, Any] = {}
    if "allow-blob-public-access" in flags:
        found["allowBlobPublicAccess"] = {"true": True, "false": False}[flags.pop("allow-blob-public-access")]
    if "min-tls-version" in flags:
        found["minimumTlsVersion"] = flags.pop("min-tls-version")
    if "public-network-access" in flags:
        found["publicNetworkAccess"] = flags.pop("public-network-access")
    if "default-action" in flags:
        found["networkAcls"] = {"defaultAction": flags.pop("default-action")}
    return {"properties": found}


def _role(expression: str) -> str:
    """Return the label of the role that EXPRESSION leads to."""
    path = expression.removeprefix("${").removesuffix("}").split(".")
    assert (path[0], path[2:]) == ("azurerm_role_definition", ["role_definition_resource_id"]), expression
    return path[1]


def _check(kind: str, given: Mapping[str, Any], schema: Any) -> None:
    """Compare the arguments of a resource, or of a block in one, with its schema."""
    known: Mapping[str, Any] = schema["attributes"]
    inner: Mapping[str, Any] = schema["blocks"]
    settable = {name for name, (_, mode) in known.items() if "o" in mode or "r" in mode}
    assert set(given) <= settable | set(inner), (kind, given)
    assert {name for name, (_, mode) in known.items() if "r" in mode} <= set(given), (kind, given)
    for name in set(given) & set(inner):
        for one in given[name]:
            _check(f"{kind}.{name}", one, inner[name])
