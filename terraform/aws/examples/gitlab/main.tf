# What a release from a GitLab of one's own needs, by VM Import and with encrypted images for two other accounts.

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
  region = "eu-west-1"
}

module "lkcloud" {
  source = "../.."

  publishers = {
    lkcloud-publisher = {
      uses   = ["import", "encrypt", "check", "test", "share", "share-snapshot"]
      gitlab = ["project_path:images/myos:ref_type:tag:ref:v*"]
    }
  }

  bucket     = "example-lkcloud-disks"
  encrypted  = true
  key_users  = ["210987654321", "321098765432"]
  gitlab_url = "https://gitlab.example.com"
}

output "target" {
  description = "For `targets` in release.yaml."
  value       = module.lkcloud.target
}

output "roles" {
  description = "For `AWS_ROLE_ARN` in .gitlab-ci.yml."
  value       = module.lkcloud.roles
}
