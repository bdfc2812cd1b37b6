locals {
  options = {
    for name, value in {
      subscription        = data.azurerm_subscription.here.subscription_id
      resource_group      = azurerm_resource_group.images.name
      location            = azurerm_resource_group.images.location
      method              = var.storage_account == null ? null : "blob"
      storage_account     = one(azurerm_storage_account.disks[*].name)
      container           = one(azurerm_storage_container.disks[*].name)
      gallery             = one(azurerm_shared_image_gallery.images[*].name)
      disk_encryption_set = one(azurerm_disk_encryption_set.images[*].id)
    } : name => value if value != null
  }
}

output "options" {
  description = "Options of a target in release.yaml; of those that have nothing here there are none. `definition` is one of `definitions`."
  value       = local.options
}

output "target" {
  description = "A target for release.yaml, as YAML."
  value       = yamlencode({ cloud = "azure", options = local.options })
}

output "definitions" {
  description = "Ids of the image definitions, by name."
  value       = { for name, definition in azurerm_shared_image.definition : name => definition.id }
}

output "clients" {
  description = "Client ids of the publishers' identities by name: `client-id` and `AZURE_CLIENT_ID` of docs/ci.md."
  value       = { for name, identity in azurerm_user_assigned_identity.publisher : name => identity.client_id }
}

output "tenant" {
  description = "Id of the tenant: `tenant-id` and `AZURE_TENANT_ID` of docs/ci.md."
  value       = data.azurerm_client_config.here.tenant_id
}
