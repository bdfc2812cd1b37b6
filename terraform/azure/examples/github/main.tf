# What a release from GitHub Actions needs, to a gallery that can be published for everybody.

terraform {
  required_version = ">= 1.9"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 5.10"
    }
  }
}

provider "azurerm" {
  subscription_id = "0b1f6471-1bf0-4dda-aec3-cb9272f09590"

  features {}
}

module "lkcloud" {
  source = "../.."

  location = "westeurope"

  publishers = {
    # Jobs in the environment `release` make, test and publish versions.
    lkcloud-publisher = {
      uses   = ["disk", "gallery", "check", "test", "public", "promote", "deprecate"]
      github = ["repo:example/myos:environment:release"]
    }

    # A job every night removes what is old, and what cancelled jobs have left.
    lkcloud-cleaner = {
      uses   = ["prune", "sweep", "gc"]
      github = ["repo:example/myos:ref:refs/heads/main"]
    }
  }

  gallery = "myos"

  community = {
    prefix            = "myos"
    publisher_uri     = "https://example.com"
    publisher_contact = "images@example.com"
    eula              = "https://example.com/license"
  }

  definitions = {
    myos-x86 = { offer = "myos", sku = "x86" }
    myos-arm = { offer = "myos", sku = "arm", architecture = "Arm64" }
  }
}

output "target" {
  description = "For `targets` in release.yaml."
  value       = module.lkcloud.target
}

output "clients" {
  description = "For `client-id` in the workflow."
  value       = module.lkcloud.clients
}

output "tenant" {
  description = "For `tenant-id` in the workflow."
  value       = module.lkcloud.tenant
}
