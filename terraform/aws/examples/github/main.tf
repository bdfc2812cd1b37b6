# What a release from GitHub Actions needs, by EBS direct: no bucket, no role for VM Import.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.69"
    }
  }
}

provider "aws" {
  region = "eu-central-1"
}

module "lkcloud" {
  source = "../.."

  publishers = {
    # Pushes of tags make, test and publish images, in all regions.
    lkcloud-publisher = {
      uses   = ["ebs", "check", "test", "copy", "share", "share-snapshot", "promote", "deprecate"]
      github = ["repo:example/myos:ref:refs/tags/v*"]
    }

    # A job every night removes what is old, and what cancelled jobs have left.
    lkcloud-cleaner = {
      uses   = ["prune", "sweep", "gc"]
      github = ["repo:example/myos:ref:refs/heads/main"]
    }
  }

  parameters    = ["/myos/*"]
  public_images = true
}

output "target" {
  description = "For `targets` in release.yaml."
  value       = module.lkcloud.target
}

output "roles" {
  description = "For `role-to-assume` in the workflow."
  value       = module.lkcloud.roles
}
