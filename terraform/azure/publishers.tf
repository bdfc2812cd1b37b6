# Managed identities for those who use lkcloud, the jobs that may act as them, and roles with what each needs. The actions
# come from permissions.json, which is written from lkcloud's own list (lkcloud_azure.permissions).

locals {
  list     = jsondecode(file("${path.module}/permissions.json"))
  vm_sizes = var.vm_sizes == null ? toset(local.list.vm_sizes) : var.vm_sizes

  # What is in the resource group a role on the group serves for. To give roles to others is a right of its own, below.
  places = {
    group        = ["group", "gallery", "account", "encryption set"]
    subscription = ["subscription"]
  }

  scopes = {
    group        = azurerm_resource_group.images.id
    subscription = data.azurerm_subscription.here.id
  }

  roles = merge([
    for name, publisher in var.publishers : {
      for scope, places in local.places : "${name} ${scope}" => {
        publisher = name
        scope     = scope
        actions = sort(distinct([
          for one in local.list.permissions : one.action
          if contains(places, one.on) && length(setintersection(concat(one.uses, one.helps), publisher.uses)) > 0
        ]))
      }
    }
  ]...)

  given = { for key, role in local.roles : key => role if length(role.actions) > 0 }

  # What is done to bytes is a data action.
  data = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/"

  sharing = {
    for name, publisher in var.publishers : name => sort(distinct([
      for one in local.list.permissions : one.action
      if one.on == "shared" && length(setintersection(concat(one.uses, one.helps), publisher.uses)) > 0
    ]))
  }

  sharers = { for name, actions in local.sharing : name => actions if length(actions) > 0 }

  # Who has the roles of a publisher: its identity, and who is named.
  members = merge([
    for name, publisher in var.publishers : merge(
      { "${name} identity" = { publisher = name, id = azurerm_user_assigned_identity.publisher[name].principal_id } },
      { for id in publisher.principals : "${name} ${id}" => { publisher = name, id = id } },
    )
  ]...)

  jobs = merge([
    for name, publisher in var.publishers : merge(
      {
        for subject in publisher.github :
        "${name} github ${subject}" => { publisher = name, issuer = "https://token.actions.githubusercontent.com", subject = subject }
      },
      {
        for subject in publisher.gitlab :
        "${name} gitlab ${subject}" => { publisher = name, issuer = var.gitlab_url, subject = subject }
      },
    )
  ]...)
}

resource "azurerm_user_assigned_identity" "publisher" {
  for_each = var.publishers

  name                = each.key
  resource_group_name = azurerm_resource_group.images.name
  location            = azurerm_resource_group.images.location
  tags                = var.tags
}

resource "azurerm_federated_identity_credential" "job" {
  for_each = local.jobs

  name                      = "lkcloud-${substr(sha256(each.key), 0, 16)}"
  user_assigned_identity_id = azurerm_user_assigned_identity.publisher[each.value.publisher].id
  issuer                    = each.value.issuer
  subject                   = each.value.subject
  audience                  = ["api://AzureADTokenExchange"]
}

resource "azurerm_role_definition" "publisher" {
  for_each = local.given

  # Names of roles are the directory's.
  name              = "lkcloud ${each.value.publisher}, ${each.value.scope} (${var.resource_group})"
  description       = "What lkcloud needs for ${join(", ", sort(var.publishers[each.value.publisher].uses))}"
  scope             = local.scopes[each.value.scope]
  assignable_scopes = [local.scopes[each.value.scope]]

  permissions {
    actions      = [for one in each.value.actions : one if !startswith(one, local.data)]
    data_actions = [for one in each.value.actions : one if startswith(one, local.data)]
  }
}

resource "azurerm_role_assignment" "publisher" {
  for_each = merge([
    for key, role in local.given : {
      for member, one in local.members : "${key}: ${member}" => { role = key, scope = role.scope, id = one.id }
      if one.publisher == role.publisher
    }
  ]...)

  scope              = local.scopes[each.value.scope]
  role_definition_id = azurerm_role_definition.publisher[each.value.role].role_definition_resource_id
  principal_id       = each.value.id
}

resource "azurerm_role_definition" "sharer" {
  for_each = local.sharers

  name              = "lkcloud ${each.key}, sharing (${var.resource_group})"
  description       = "What lkcloud needs to let others use an image"
  scope             = azurerm_resource_group.images.id
  assignable_scopes = [azurerm_resource_group.images.id]

  permissions {
    actions = each.value
  }
}

locals {
  # Reader: all that lkcloud gives.
  reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7"

  # Whoever may give roles could give himself any; with this condition he can give, and take, that one alone.
  # https://learn.microsoft.com/azure/role-based-access-control/delegate-role-assignments-examples
  readers_only = <<-EOT
    (
     (!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'}))
     OR
     (@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {${local.reader}})
    )
    AND
    (
     (!(ActionMatches{'Microsoft.Authorization/roleAssignments/delete'}))
     OR
     (@Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {${local.reader}})
    )
  EOT
}

resource "azurerm_role_assignment" "sharer" {
  for_each = { for member, one in local.members : member => one if contains(keys(local.sharers), one.publisher) }

  scope              = azurerm_resource_group.images.id
  role_definition_id = azurerm_role_definition.sharer[each.value.publisher].role_definition_resource_id
  principal_id       = each.value.id
  condition          = local.readers_only
  condition_version  = "2.0"
}
