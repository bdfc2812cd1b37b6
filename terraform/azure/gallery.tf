resource "azurerm_shared_image_gallery" "images" {
  count = var.gallery == null ? 0 : 1

  name                = var.gallery
  resource_group_name = azurerm_resource_group.images.name
  location            = azurerm_resource_group.images.location
  description         = "Images made with lkcloud"
  tags                = var.tags

  # It is published by `lkcloud push --public`; that it can be is said once, when it is made.
  dynamic "sharing" {
    for_each = var.community[*]

    content {
      permission = "Community"

      community_gallery {
        prefix          = sharing.value.prefix
        publisher_uri   = sharing.value.publisher_uri
        publisher_email = sharing.value.publisher_contact
        eula            = sharing.value.eula
      }
    }
  }
}

resource "azurerm_shared_image" "definition" {
  for_each = var.gallery == null ? {} : var.definitions

  name                                = each.key
  gallery_name                        = azurerm_shared_image_gallery.images[0].name
  resource_group_name                 = azurerm_resource_group.images.name
  location                            = azurerm_resource_group.images.location
  description                         = each.value.description
  os_type                             = each.value.os_type
  architecture                        = each.value.architecture
  hyper_v_generation                  = each.value.generation
  specialized                         = each.value.specialized
  accelerated_network_support_enabled = each.value.accelerated_network
  disk_controller_type_nvme_enabled   = each.value.nvme && each.value.generation == "V2"
  trusted_launch_supported            = each.value.trusted_launch
  tags                                = var.tags

  identifier {
    publisher = each.value.publisher
    offer     = each.value.offer
    sku       = each.value.sku
  }
}
