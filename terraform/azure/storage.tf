# The container of `--method blob`. Azure's lifecycle management removes block blobs and append blobs only
# (https://learn.microsoft.com/azure/storage/blobs/lifecycle-management-overview), so page blobs that were left are for
# `lkcloud gc`.

resource "azurerm_storage_account" "disks" {
  #checkov:skip=CKV_AZURE_33:There are no queues.
  #checkov:skip=CKV_AZURE_59:Jobs of a CI service push from wherever they run; what lets them in is a token of Entra ID.
  #checkov:skip=CKV_AZURE_206:What is in it is there for the time of a push, and is sent again if it is lost.
  #checkov:skip=CKV2_AZURE_1:Images have a key of their own with `encrypted`; what is here is there for the time of a push.
  #checkov:skip=CKV2_AZURE_33:Jobs of a CI service push from wherever they run; what lets them in is a token of Entra ID.
  #checkov:skip=CKV2_AZURE_38:A deleted page blob would be kept, and paid for.
  #checkov:skip=CKV2_AZURE_40:Azure itself reads the VHD of a version by a key, and asks who makes it for listKeys.
  #checkov:skip=CKV2_AZURE_41:Nobody makes signed URLs of it.
  count = var.storage_account == null ? 0 : 1

  name                             = var.storage_account
  resource_group_name              = azurerm_resource_group.images.name
  location                         = azurerm_resource_group.images.location
  account_kind                     = "StorageV2"
  account_tier                     = "Standard"
  account_replication_type         = var.replication
  is_hns_enabled                   = false
  https_traffic_only_enabled       = true
  min_tls_version                  = "TLS1_2"
  allow_nested_items_to_be_public  = false
  cross_tenant_replication_enabled = false
  default_to_oauth_authentication  = true
  local_user_enabled               = false
  tags                             = var.tags
}

resource "azurerm_storage_container" "disks" {
  #checkov:skip=CKV2_AZURE_21:What is in it is there for the time of a push. Diagnostic settings tell who reads it, where that is wanted.
  count = length(azurerm_storage_account.disks)

  name                  = var.container
  storage_account_id    = azurerm_storage_account.disks[count.index].id
  container_access_type = "private"
}
