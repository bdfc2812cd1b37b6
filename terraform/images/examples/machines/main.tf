# A machine from the newest release on each of the clouds.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.69"
    }
    google = {
      source  = "hashicorp/google"
      version = "~> 8.7"
    }
  }
}

provider "aws" {
  region = "eu-central-1"
}

provider "google" {
  project = "my-machines-123456"
}

module "images" {
  source = "../.."

  manifest = jsondecode(file(var.release))
}

variable "release" {
  description = "The manifest that `lkcloud publish` has written."
  type        = string
  default     = "release.json"
}

resource "aws_instance" "example" {
  #checkov:skip=CKV_AWS_126:Detailed monitoring is paid for, and nothing here is looked at by the minute.
  #checkov:skip=CKV2_AWS_41:Nothing in the machine asks anything of AWS.
  ami           = module.images.ids["aws"]["eu-central-1"]["x86_64"]
  instance_type = "t3.micro"
  ebs_optimized = true
  monitoring    = false

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
  }

  root_block_device {
    encrypted = true
  }
}

resource "google_compute_instance" "example" {
  #checkov:skip=CKV_GCP_38:Google encrypts the disk; a key of one's own would have to be given here.
  name         = "example"
  zone         = "europe-west3-a"
  machine_type = "e2-small"

  boot_disk {
    initialize_params {
      image = "projects/myos-images-123456/global/images/${module.images.ids["gcp"]["global"]["x86_64"]}"
    }
  }

  network_interface {
    network = "default"
  }

  metadata = {
    block-project-ssh-keys = "true"
  }

  shielded_instance_config {
    enable_vtpm = true
  }
}

output "version" {
  description = "The release that the machines are of."
  value       = module.images.version
}
