# SPDX-License-Identifier: Apache-2.0
"""What mends a subscription, as commands of the Azure CLI and as Terraform.

Commands: https://learn.microsoft.com/cli/azure/reference-index; Terraform's resources are those of the provider
hashicorp/azurerm, https://registry.terraform.io/providers/hashicorp/azurerm
"""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from lkcloud.diagnosis import Remedy
from lkcloud_azure.naming import ResourceId
from lkcloud_azure.options import AzureOptions
from lkcloud_azure.role import parted
from lkcloud_azure.sharing import READER

_ASSIGNMENTS = "Microsoft.Authorization/roleAssignments/"


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a role is given to: the object id, and its KIND as role assignments name it."""

    object_id: str
    kind: str


@dataclass(frozen=True, slots=True)
class Gap:
    """What has to be given on SCOPE, a resource group's id or the subscription's, for what lkcloud is to do there."""

    scope: str
    actions: tuple[str, ...]

    @property
    def place(self) -> str:
        """The name of the resource group, or `subscription`."""
        return self.scope.partition("/resourceGroups/")[2] or "subscription"


def command(subscription: str, *words: str) -> str:
    """Return a command of the Azure CLI for a SUBSCRIPTION, quoted for a shell."""
    return shlex.join(["az", *words, "--subscription", subscription])


def register(subscription: str, namespace: str) -> Remedy:
    """Register a resource provider."""
    label = namespace.partition(".")[2].lower()
    return Remedy(
        commands=(command(subscription, "provider", "register", "--namespace", namespace, "--wait"),),
        terraform=f'''# For a provider with resource_provider_registrations = "none"; another registers it by itself.
resource "azurerm_resource_provider_registration" "{label}" {{
  name = "{namespace}"
}}''',
    )


def make_group(subscription: str, name: str, region: str) -> Remedy:
    """Make a resource group."""
    return Remedy(
        commands=(command(subscription, "group", "create", "--name", name, "--location", region),),
        terraform=f'''resource "azurerm_resource_group" "{_label(name)}" {{
  name     = "{name}"
  location = "{region}"
}}''',
    )


def await_deletion(subscription: str, group: str) -> Remedy:
    """Wait until a resource group is gone."""
    return Remedy(
        do="wait until it is gone, or give another --resource-group",
        commands=(command(subscription, "group", "wait", "--name", group, "--deleted"),),
    )


def make_gallery(subscription: str, options: AzureOptions, region: str) -> Remedy:
    """Make the gallery of the options, for the community if they say whose it is."""
    name, group = options.gallery or "", options.gallery_group
    given = (options.community_prefix, options.publisher_uri, options.publisher_contact, options.eula)
    words = ["sig", "create", "--gallery-name", name, "--resource-group", group, "--location", region]
    sharing = ""
    if all(given):
        prefix, uri, contact, eula = map(str, given)
        words += ["--permissions", "Community", "--public-name-prefix", prefix, "--publisher-uri", uri]
        words += ["--publisher-email", contact, "--eula", eula]
        sharing = f"""

  sharing {{
    permission = "Community"

    community_gallery {{
      prefix          = {_text(prefix)}
      publisher_uri   = {_text(uri)}
      publisher_email = {_text(contact)}
      eula            = {_text(eula)}
    }}
  }}"""
    return Remedy(
        do="make it, or give --create-gallery",
        commands=(command(subscription, *words),),
        terraform=f'''resource "azurerm_shared_image_gallery" "{_label(name)}" {{
  name                = "{name}"
  resource_group_name = "{group}"
  location            = "{region}"{sharing}
}}''',
    )


def keep_nothing(gallery: ResourceId) -> Remedy:
    """Let what is deleted in a gallery be gone at once."""
    setting = "properties.softDeletePolicy.isSoftDeleteEnabled=false"
    words = ("resource", "update", "--ids", str(gallery), "--set", setting)
    return Remedy(commands=(command(gallery.subscription, *words),))


def make_account(subscription: str, name: str, group: str, region: str) -> Remedy:
    """Make a storage account that has page blobs and no anonymous readers."""
    words = ["--name", name, "--resource-group", group, "--location", region, "--kind", "StorageV2"]
    words += ["--sku", "Standard_LRS", "--allow-blob-public-access", "false", "--min-tls-version", "TLS1_2"]
    return Remedy(
        do="make it, or check --storage-account and --subscription",
        commands=(command(subscription, "storage", "account", "create", *words),),
        terraform=f'''resource "azurerm_storage_account" "{_label(name)}" {{
  name                            = "{name}"
  resource_group_name             = "{group}"
  location                        = "{region}"
  account_kind                    = "StorageV2"
  account_tier                    = "Standard"
  account_replication_type        = "LRS"
  min_tls_version                 = "TLS1_2"
  allow_nested_items_to_be_public = false
}}''',
    )


def open_account(account: ResourceId) -> Remedy:
    """Let a storage account be reached from everywhere; tokens are still asked for."""
    words = ("--public-network-access", "Enabled", "--default-action", "Allow")
    return Remedy(
        do="run where its networks are, leave --method out, or open it: only who has a token with a role gets in",
        commands=(_update_account(account, *words),),
    )


def close_to_anonymous(account: ResourceId) -> Remedy:
    """Let nobody read blobs of an account without a token or a signature."""
    return Remedy(commands=(_update_account(account, "--allow-blob-public-access", "false"),))


def _update_account(account: ResourceId, *words: str) -> str:
    (name,) = account.names
    return command(
        account.subscription, "storage", "account", "update", "--name", name, "--resource-group", account.group, *words
    )


def give(subscription: str, title: str, gaps: Sequence[Gap], holder: Holder) -> Remedy:
    """Give HOLDER roles called TITLE, with what each of GAPS has.

    Who may give roles gets a condition with it: Reader alone, the role that lkcloud gives.
    """
    commands: list[str] = []
    blocks: list[str] = []
    for gap in gaps:
        name = f"lkcloud {title} ({gap.place})"
        actions, data = parted(gap.actions)
        condition = _readers_only() if any(one.startswith(_ASSIGNMENTS) for one in actions) else ""
        document = {
            "Name": name,
            "Description": f"What lkcloud needs for {title}",
            "AssignableScopes": [gap.scope],
            "Actions": actions,
            "DataActions": data,
        }
        kind = ("--assignee-object-id", holder.object_id, "--assignee-principal-type", holder.kind)
        limits = ("--condition", condition, "--condition-version", "2.0") if condition else ()
        commands += [
            command(subscription, "role", "definition", "create", "--role-definition", json.dumps(document)),
            command(subscription, "role", "assignment", "create", *kind, "--role", name, "--scope", gap.scope, *limits),
        ]
        blocks.append(_role(f"{_label(title)}_{_label(gap.place)}", name, gap, holder, condition))
    return Remedy(
        do="give this identity the role that --fix prints; it takes some minutes to take effect",
        commands=tuple(commands),
        terraform="\n\n".join(blocks),
    )


def _role(label: str, name: str, gap: Gap, holder: Holder, condition: str) -> str:
    actions, data = parted(gap.actions)
    permissions = f"    actions = {_list(actions)}\n" if actions else ""
    permissions += f"    data_actions = {_list(data)}\n" if data else ""
    limits = f"  condition          = {_text(condition)}\n" + '  condition_version  = "2.0"\n' if condition else ""
    return f'''resource "azurerm_role_definition" "{label}" {{
  name              = "{name}"
  scope             = "{gap.scope}"
  assignable_scopes = ["{gap.scope}"]

  permissions {{
{permissions}  }}
}}

resource "azurerm_role_assignment" "{label}" {{
  scope              = "{gap.scope}"
  role_definition_id = azurerm_role_definition.{label}.role_definition_resource_id
  principal_id       = "{holder.object_id}"
{limits}}}'''


def _readers_only() -> str:
    """Return the condition of https://learn.microsoft.com/azure/role-based-access-control/delegate-role-assignments-examples."""
    parts = [
        f"((!(ActionMatches{{'{_ASSIGNMENTS}{verb}'}})) OR ({whose}[Microsoft.Authorization/roleAssignments:"
        f"RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {{{READER}}}))"
        for verb, whose in (("write", "@Request"), ("delete", "@Resource"))
    ]
    return " AND ".join(parts)


def _list(words: Sequence[str]) -> str:
    return "[\n" + "".join(f'      "{word}",\n' for word in words) + "    ]"


def _text(text: str) -> str:
    """Return TEXT as Terraform writes it; what it would take for a template is marked."""
    return json.dumps(text).replace("${", "$${").replace("%{", "%%{")


def _label(name: str) -> str:
    """Return a name that Terraform takes for a resource: letters, digits and _, and no digit first."""
    found = re.sub(r"\W", "_", name, flags=re.ASCII)
    return found if found[:1].isalpha() else f"_{found}"
