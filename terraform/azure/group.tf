data "azurerm_client_config" "here" {}

data "azurerm_subscription" "here" {}

resource "azurerm_resource_group" "images" {
  name     = var.resource_group
  location = var.location
  tags     = var.tags
}

# Small machines only: the built-in policy `Allowed virtual machine size SKUs`. No role can say that.
# https://learn.microsoft.com/azure/governance/policy/samples/built-in-policies#compute
resource "azurerm_resource_group_policy_assignment" "small" {
  count = length(local.vm_sizes) > 0 ? 1 : 0

  name                 = "lkcloud-small-machines"
  display_name         = "lkcloud: small machines only"
  resource_group_id    = azurerm_resource_group.images.id
  policy_definition_id = "/providers/Microsoft.Authorization/policyDefinitions/cccc23c7-8427-4f53-ad12-b6a63eb452b3"
  parameters           = jsonencode({ listOfAllowedSKUs = { value = sort(local.vm_sizes) } })
}
