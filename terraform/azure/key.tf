# The key that disks and images are encrypted with, in a vault of its own.

resource "azurerm_key_vault" "images" {
  #checkov:skip=CKV2_AZURE_32:Managed disks reach it as a trusted service.
  count = var.encrypted ? 1 : 0

  name                       = var.key_vault
  resource_group_name        = azurerm_resource_group.images.name
  location                   = azurerm_resource_group.images.location
  tenant_id                  = data.azurerm_client_config.here.tenant_id
  sku_name                   = "premium"
  rbac_authorization_enabled = true
  purge_protection_enabled   = true
  soft_delete_retention_days = 90
  tags                       = var.tags
}

resource "azurerm_role_assignment" "keeper" {
  count = length(azurerm_key_vault.images)

  scope                = azurerm_key_vault.images[count.index].id
  role_definition_name = "Key Vault Crypto Officer"
  principal_id         = data.azurerm_client_config.here.object_id
}

resource "azurerm_key_vault_key" "images" {
  #checkov:skip=CKV_AZURE_40:It is renewed by its own policy; images under a key that has ended could not be used.
  count = length(azurerm_key_vault.images)

  name         = "images"
  key_vault_id = azurerm_key_vault.images[count.index].id
  key_type     = "RSA-HSM"
  key_size     = 3072
  key_opts     = ["unwrapKey", "wrapKey"]
  tags         = var.tags

  rotation_policy {
    automatic {
      time_after_creation = "P1Y"
    }
  }

  depends_on = [azurerm_role_assignment.keeper]
}

resource "azurerm_disk_encryption_set" "images" {
  count = length(azurerm_key_vault.images)

  name                      = "lkcloud-images"
  resource_group_name       = azurerm_resource_group.images.name
  location                  = azurerm_resource_group.images.location
  key_vault_key_id          = azurerm_key_vault_key.images[count.index].versionless_id
  auto_key_rotation_enabled = true
  tags                      = var.tags

  identity {
    type = "SystemAssigned"
  }
}

resource "azurerm_role_assignment" "encryption" {
  count = length(azurerm_disk_encryption_set.images)

  scope                = azurerm_key_vault.images[count.index].id
  role_definition_name = "Key Vault Crypto Service Encryption User"
  principal_id         = azurerm_disk_encryption_set.images[count.index].identity[0].principal_id
}
