# What a release from GitHub Actions needs, with boot tests in a network of their own.

terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.7"
    }
  }
}

provider "google" {
  project = "myos-images-123456"
}

module "lkcloud" {
  source = "../.."

  project = "myos-images-123456"

  publishers = {
    # Pushes of tags make, test and publish images.
    lkcloud-publisher = {
      uses   = ["composite", "test", "share", "promote", "deprecate"]
      github = ["repo:example/myos:ref:refs/tags/v*"]
    }

    # A job every night removes what is old, and what cancelled jobs have left.
    lkcloud-cleaner = {
      uses   = ["prune", "sweep", "gc"]
      github = ["repo:example/myos:ref:refs/heads/main"]
    }
  }

  location  = "EU"
  test_zone = "europe-west3-a"
}

output "target" {
  description = "For `targets` in release.yaml."
  value       = module.lkcloud.target
}

output "service_accounts" {
  description = "For `service_account` in the workflow."
  value       = module.lkcloud.service_accounts
}

output "workload_identity_providers" {
  description = "For `workload_identity_provider` in the workflow."
  value       = module.lkcloud.workload_identity_providers
}
