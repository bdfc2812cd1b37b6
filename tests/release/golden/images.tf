locals {
  lkcloud_version = "1.2"
  lkcloud_images = {
    "aws" = {
      "eu-central-1" = {
        "arm64" = "ami-0a"
        "x86_64" = "ami-0b"
      }
      "us-east-1" = {
        "x86_64" = "ami-0c"
      }
    }
    "azure" = {
      "westeurope" = {
        "x86_64" = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/g/images/os/versions/1.2.0"
      }
    }
    "gcp" = {
      "global" = {
        "x86_64" = "os-x86-64"
      }
    }
  }
}
